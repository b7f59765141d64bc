"""The published files that checks need: from the cache, else fetched, each asked for once."""

import numpy as np

from keras_i3d import networks
from keras_i3d.errors import WeightsCacheError, WeightsError, WeightsUnreachableError, system_line
from keras_i3d.frechet import LogitNetwork
from keras_i3d.weights import by_name, cache, download, registry
from keras_i3d.weights.labels import read_labels


class FileError(Exception):
    """A file that cannot be used.

    Attributes:
        file: its name, as the checks of files have it; None until it is known.
    """

    file = None


class NotHere(FileError):
    """A file that is not in the cache and was not fetched: nothing can be said of it."""

    def needed(self):
        """Says why a check that needs it did not run."""
        return f"needs files.{self.file}, which is not here"


class NotPublished(FileError):
    """A file that is not what was published."""

    def needed(self):
        """Says why a check that needs it did not run."""
        return f"needs files.{self.file}, which deviates"


class NeededFiles:
    """Files by what they are for; what went wrong with one is raised again at each use.

    Args:
        offline: whether the cache alone counts.
        attempts: connections to try for a file. Once a host could not be reached, one for each further file.

    Attributes:
        digests: {what: sha256 of it} of all that was taken: of networks, of the arrays by the order of their layers'
            names, whatever file they came in.
        unreachable: why files could not be fetched, in their order.
    """

    def __init__(self, offline=False, attempts=download.ATTEMPTS):
        self.offline, self._attempts = offline, attempts
        self.digests, self.unreachable, self._known = {}, [], {}

    def network(self, weights, stream):
        """Returns the Network of published weights, in float32."""
        entry = registry.find(weights, stream)
        self.weights(entry)
        return self._once("network", entry.name, lambda: self._loaded(entry))

    def logit_network(self, weights):
        """Returns the LogitNetwork of published weights, in float32."""
        entry = registry.find(weights, "rgb")
        self.weights(entry)
        return self._once("logits", entry.name, lambda: self._of_logits(entry))

    def weights(self, entry):
        """Returns the path of a Published in the cache."""

        def get():
            if self.offline and not cache.is_whole(entry.name):
                if cache.place(entry.name).exists():
                    raise NotPublished("its copy in the cache is damaged; without --offline it is fetched again")
                raise NotHere("not in the cache (--offline)")
            return cache.published(entry, self._attempts)

        return self._once("weights", entry.name, get)

    def labels(self, name):
        """Returns the list of class names."""

        def get():
            file = registry.LABELS[name].file
            self._check_offline(file)
            found = read_labels(name, self._attempts)
            self.digests[file.path] = download.sha256(download.cache_folder() / file.path)
            return found

        return self._once("labels", name, get)

    def sample(self, stream):
        """Returns the sample of a stream, an array that stays on disk."""

        def get():
            file = registry.SAMPLE[stream]
            self._check_offline(file)
            path = download.fetch(file, download.cache_folder(), self._attempts)
            self.digests[file.path] = download.sha256(path)
            try:
                return np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                raise NotPublished(f"{file.path} is no array that NumPy reads ({error})") from error

        return self._once("sample", f"sample_{stream}", get)

    def _check_offline(self, file):
        """Raises an error unless a file may be asked for; of the cache's own copies none is fetched again offline."""
        path = download.cache_folder() / file.path
        if not self.offline:
            return
        if not path.is_file():
            raise NotHere("not in the cache (--offline)")
        download.verify(path, file, f"the copy of {file.path} in the cache")

    def _loaded(self, entry):
        network = networks.load(entry.weights, entry.stream, "float32", self._attempts)
        self.digests[entry.name] = by_name.digest(network.model)
        return network

    def _of_logits(self, entry):
        network = LogitNetwork(entry.weights, "float32", self._attempts)
        self.digests[entry.name] = network.card["sha256"]
        return network

    def _once(self, kind, name, get):
        key = kind, name
        if key not in self._known:
            try:
                self._known[key] = get()
            except WeightsUnreachableError as error:
                self._attempts = 1
                self._known[key] = self._not_fetched(str(error))
            except WeightsCacheError as error:
                self._known[key] = self._not_fetched(str(error))
            except OSError as error:  # as of a disk that is full when what came is converted
                self._known[key] = self._not_fetched(system_line(error) or f"{error}.")
            except FileError as error:
                self._known[key] = error
            except WeightsError as error:
                self._known[key] = NotPublished(str(error))
        found = self._known[key]
        if isinstance(found, FileError):
            found.file = name
            raise found
        return found

    def _not_fetched(self, why):
        self.unreachable.append(why)
        return NotHere(f"not fetched: {why}")
