// Search runs in a Worker, which browsers refuse to a page that was opened from a folder (file://). There this takes its
// place: the same script in a hidden frame, with the same messages. The name is the one that the plugin `offline` looks for.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      const load = (address) =>
        new Promise((done, failed) => {
          const script = inside.document.createElement("script");
          Object.assign(script, { src: new URL(address, document.baseURI), onload: done, onerror: failed });
          inside.document.head.append(script);
        });
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = async (...addresses) => {
        for (const address of addresses) await load(address);
      };
      this.loaded = false;
      load(url).then(
        () => {
          this.loaded = true;
          this.waiting.splice(0).forEach((data) => this.deliver(data));
        },
        () => this.dispatchEvent(new Event("error")),
      );
      this.addEventListener("message", (event) => this.onmessage && this.onmessage(event));
      this.frame.contentWindow.addEventListener("error", () => this.dispatchEvent(new Event("error")));
    }

    deliver(data) {
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }

    postMessage(data) {
      if (this.loaded) this.deliver(data);
      else this.waiting.push(data);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
