/* A consumer without Python: loads an export by TensorFlow's C API, runs its serving_default once, prints the top label.

   serving_consumer DIR OUTPUT INPUT FILE SHAPE [INPUT FILE SHAPE]

   DIR is the export's version, OUTPUT and INPUT are the tensors of the signature (name:index), FILE holds float32 as
   they lie in memory, SHAPE is 1,16,224,224,3. The label is read from DIR/assets/labels.txt. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static void fail(const char* what, const char* why) {
  fprintf(stderr, "error: %s: %s\n", what, why);
  exit(1);
}

static void check(TF_Status* status, const char* what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

static TF_Output find(TF_Graph* graph, const char* tensor) {
  char name[256];
  const char* colon = strrchr(tensor, ':');
  if (colon == NULL || colon - tensor >= (long)sizeof name) fail(tensor, "not a tensor's name");
  memcpy(name, tensor, colon - tensor);
  name[colon - tensor] = 0;
  TF_Output output = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  if (output.oper == NULL) fail(tensor, "not in the graph");
  return output;
}

static TF_Tensor* read_tensor(const char* path, const char* shape) {
  int64_t dims[8];
  int rank = 0;
  size_t bytes = sizeof(float);
  for (const char* at = shape; at != NULL && rank < 8; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    dims[rank] = atoll(at);
    bytes *= dims[rank++];
  }
  TF_Tensor* tensor = TF_AllocateTensor(TF_FLOAT, dims, rank, bytes);
  FILE* file = fopen(path, "rb");
  if (file == NULL || fread(TF_TensorData(tensor), 1, bytes, file) != bytes) fail(path, "not as many values as its shape");
  fclose(file);
  return tensor;
}

int main(int count, char** words) {
  if (count < 6 || count % 3 != 0) fail("usage", "serving_consumer DIR OUTPUT INPUT FILE SHAPE [INPUT FILE SHAPE]");
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, NULL, words[1], tags, 1, graph, NULL, status);
  check(status, words[1]);

  TF_Output inputs[2], output = find(graph, words[2]);
  TF_Tensor *values[2], *logits;
  int given = (count - 3) / 3;
  for (int i = 0; i < given && i < 2; i++) {
    inputs[i] = find(graph, words[3 + 3 * i]);
    values[i] = read_tensor(words[4 + 3 * i], words[5 + 3 * i]);
  }
  TF_SessionRun(session, NULL, inputs, values, given, &output, &logits, 1, NULL, 0, NULL, status);
  check(status, "serving_default");

  const float* scores = TF_TensorData(logits);
  int best = 0, classes = (int)TF_Dim(logits, 1);
  for (int i = 1; i < classes; i++)
    if (scores[i] > scores[best]) best = i;

  char path[4096], label[1024];
  snprintf(path, sizeof path, "%s/assets/labels.txt", words[1]);
  FILE* labels = fopen(path, "r");
  if (labels == NULL) fail(path, "cannot be read");
  for (int i = 0; i <= best; i++)
    if (fgets(label, sizeof label, labels) == NULL) fail(path, "fewer labels than classes");
  label[strcspn(label, "\n")] = 0;
  printf("%s %.6f\n", label, scores[best]);
  fclose(labels);
  TF_DeleteTensor(logits);
  for (int i = 0; i < given; i++) TF_DeleteTensor(values[i]);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
