// The script of the Go toolchain, wasm_exec.js, has defined the class Go. A Go program that has ended
// does nothing more, so the page says so.
const say = (text) => {
  const loading = document.getElementById("loading");
  loading.textContent = text;
  loading.hidden = false;
};

const go = new Go();
WebAssembly.instantiateStreaming(fetch("frontend.wasm"), go.importObject)
  .then(({ instance }) => go.run(instance))
  .then(() => say("The program of this page has ended. Reload the page to start it again."))
  .catch((error) => say("The program of this page could not start: " + error));
