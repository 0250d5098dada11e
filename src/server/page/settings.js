// The settings' form: what it says in a request, and what is kept until the tab is closed.

const kNumbers = [  // [name in the API, label, whole number, first value]
  ["temperature", "Temperature", false, ""],
  ["max_tokens", "Longest answer", true, "512"],
  ["top_p", "top_p", false, ""],
  ["top_k", "top_k", true, ""],
  ["min_p", "min_p", false, ""],
  ["seed", "Seed", true, ""],
  ["presence_penalty", "Presence penalty", false, ""],
  ["frequency_penalty", "Frequency penalty", false, ""],
  ["repetition_penalty", "Repetition penalty", false, ""],
  ["min_tokens", "Shortest answer", true, ""],
];
const kSampling = ["temperature", "top_p", "top_k", "min_p", "seed"];  // without a meaning in greedy decoding

class InvalidSetting extends Error {
  constructor(input, message) {
    super(message);
    this.input = input;
  }
}

const settings = {
  form: byId("settings"),

  build() {
    for (const [name, label, whole, value] of kNumbers) {
      const input = make("input", {name, value, type: "number", step: whole ? "1" : "any", placeholder: "server default",
                                   inputMode: whole ? "numeric" : "decimal", autocomplete: "off"});
      byId("numbers").append(make("label", {}, label, input));
    }
    byId("origin").textContent = location.origin;
    byId("base-url").textContent = `${this.ownServer().base}/v1`;
    this.restore();
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => {
      this.forgive(event.target);
      this.keep();
    });
    byId("defaults").addEventListener("click", () => {
      for (const [name, , , value] of kNumbers) this.field(name).value = value;
      for (const name of ["system", "stop"]) this.field(name).value = "";
      this.field("ignore_eos").checked = false;
      for (const input of this.form.querySelectorAll("[aria-invalid]")) this.forgive(input);
      this.keep();
      say("Parameters are at their defaults");
    });
  },

  field(name) { return this.form.elements.namedItem(name); },
  text(name) { return this.field(name).value.trim(); },

  restore() {
    let kept = {};
    try {
      kept = JSON.parse(sessionStorage.getItem("octet.settings") ?? "{}");
    } catch {}  // without storage everything is asked again
    for (const [name, value] of Object.entries(kept)) {
      const input = this.field(name);
      if (input) input[input.type === "checkbox" ? "checked" : "value"] = value;
    }
  },

  keep() {
    const kept = {};
    for (const input of this.form.elements)
      if (input.name) kept[input.name] = input.type === "checkbox" ? input.checked : input.value;
    try {
      sessionStorage.setItem("octet.settings", JSON.stringify(kept));
    } catch {}
  },

  number(name, label, whole) {
    const input = this.field(name);
    if (input.validity.badInput) throw new InvalidSetting(input, `${label}: expected a number`);
    if (input.value === "") return undefined;
    const value = Number(input.value);
    if (whole && !Number.isSafeInteger(value))
      throw new InvalidSetting(input, `${label}: expected a whole number, found ${input.value}`);
    return value;
  },

  // The request's fields; what is left empty is the server's to choose. Throws InvalidSetting.
  parameters() {
    const body = {};
    for (const [name, label, whole] of kNumbers) body[name] = this.number(name, label, whole);
    const stop = this.field("stop").value.split("\n").filter((line) => line !== "");
    if (stop.length) body.stop = stop;
    if (this.field("ignore_eos").checked) body.ignore_eos = true;
    return body;
  },

  greedyParameters() {
    const body = this.parameters();
    for (const name of kSampling) delete body[name];
    return {...body, temperature: 0, logprobs: true};
  },

  // Beside this page, which may be under a path.
  ownServer() { return new Server(new URL(".", location.href).href.replace(/\/$/, ""), this.text("key"), true); },

  otherServer() {
    let address = this.text("other").replace(/\/+$/, "").replace(/\/v1$/, "");
    if (address === "") throw new InvalidSetting(this.field("other"), "Second server: expected an address");
    if (!/^https?:\/\//.test(address)) address = "http://" + address;
    try {
      new URL(address);
    } catch {
      throw new InvalidSetting(this.field("other"), `Second server: expected an address, found ${address}`);
    }
    return new Server(address, this.text("otherKey"));
  },

  // Says at a setting what is wrong with it, until it is changed.
  blame(input, message) {
    this.forgive(input);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", `fault-${input.name}`);
    input.after(make("span", {className: "fault", id: `fault-${input.name}`}, message));
  },

  forgive(input) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
    byId(`fault-${input.name}`)?.remove();
  },

  // Opens what hides it.
  reveal(input) {
    input.closest("details").open = true;
    showPanel(true);
    input.focus();
  },
};

function showPanel(open) {
  document.body.classList.toggle("settings-open", open);
  byId("toggle").setAttribute("aria-expanded", String(open));
  byId("toggle").textContent = open ? "Back" : "Settings";
}
const panelCovers = () => document.body.classList.contains("settings-open") && byId("chat").offsetParent === null;
