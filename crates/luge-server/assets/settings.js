// The side panel: the method or the two, how tokens are chosen, and what holds for the
// whole conversation. What is not filled in is left to the server. Kept in the browser.

const SETTINGS = "luge.settings";
const PIPELINE = "+";

const SAMPLING = [
  ["temperature", "Temperature", { min: 0, step: "any" }, "0 for the best token by the method"],
  ["top_p", "Top p", { min: 0, max: 1, step: "any" }, "the likeliest tokens that come to this"],
  ["top_k", "Top k", { min: 0, step: 1 }, "the so many likeliest tokens, 0 for all"],
  ["min_p", "Min p", { min: 0, max: 1, step: "any" }, "at least this share of the best token"],
  ["seed", "Seed", { min: 0, step: 1 }, "the same seed has the same luck"],
  ["max_tokens", "Max tokens", { min: 1, step: 1 }, "where an answer ends at the latest"],
];

// A parameter's value as one would type it: layers in a row as a range.
function presetText(value) {
  if (Array.isArray(value)) {
    const isRow = value.length > 2 && value.every((layer, i) => layer === value[0] + i);
    return isRow ? `${value[0]}..${value.at(-1) + 1}` : value.join(",");
  }
  if (typeof value === "boolean") return value ? "on" : "off";
  return value == null ? "default" : `${value}`;
}

// What is typed, as text: of each lane its method and the parameters of each method.
const unset = (method) => ({
  compare: false,
  layers: true,
  lanes: [
    { method, pipeline: "", params: {} },
    { method: method === "greedy" ? "sled" : "greedy", pipeline: "", params: {} },
  ],
  system: "",
  stop: "",
  ...Object.fromEntries(SAMPLING.map(([name]) => [name, ""])),
});

class Settings {
  #root;
  #model;
  #values;
  #onChange;

  constructor(root, model, onChange) {
    this.#root = root;
    this.#model = model;
    this.#onChange = onChange;
    this.#values = this.#read();
    this.#draw();
    root.addEventListener("submit", (event) => event.preventDefault());
  }

  get compare() {
    return this.#values.compare;
  }

  // The names of the lanes that are asked, with the parameters that were changed.
  labels() {
    return this.#lanes().map((lane) => {
      const params = Object.entries(this.#params(lane)).map(([name, value]) => `${name}=${value}`);
      if (lane.method === PIPELINE) return lane.pipeline || "a pipeline";
      return params.length ? `${lane.method}(${params.join(", ")})` : lane.method;
    });
  }

  // Whether all that is typed can be asked for; the browser says what cannot.
  check() {
    const wrong = this.#root.querySelector(":invalid:not(fieldset)");
    for (let at = wrong; at; at = at.parentElement) if (at.matches("details")) at.open = true;
    return !wrong;
  }

  report() {
    this.#root.reportValidity();
  }

  // What goes into the request of each lane, beside the messages. The server's own method
  // needs no word, and may have settings that have none.
  requests() {
    const values = this.#values;
    const common = {};
    for (const [name] of SAMPLING) if (values[name] !== "") common[name] = Number(values[name]);
    const stop = values.stop.split("\n").filter((line) => line !== "");
    if (stop.length) common.stop = stop;
    if (values.layers) common.layers = { top: 5, paths: true };
    // Two methods are compared under the same luck.
    if (values.compare) common.seed ??= Math.floor(Math.random() * 2 ** 31);
    const own = this.#unset().lanes[0];
    return this.#lanes().map((lane) => {
      const decoding = this.#decoding(lane);
      return decoding === this.#decoding(own) ? common : { ...common, decoding };
    });
  }

  get system() {
    return this.#values.system.trim();
  }

  set system(text) {
    if (text === this.system) return;
    this.#values.system = text;
    this.#draw();
    this.#changed();
  }

  #lanes() {
    return this.#values.lanes.slice(0, this.#values.compare ? 2 : 1);
  }

  #params(lane) {
    const given = Object.entries(lane.params[lane.method] ?? {});
    return Object.fromEntries(given.filter(([, value]) => value.trim() !== ""));
  }

  #decoding(lane) {
    if (lane.method === PIPELINE) return lane.pipeline.trim();
    const params = Object.entries(this.#params(lane)).map(([name, value]) => {
      const number = Number(value);
      return [name.replaceAll("-", "_"), Number.isNaN(number) ? value.trim() : number];
    });
    return params.length ? { method: lane.method, ...Object.fromEntries(params) } : lane.method;
  }

  // The server's own method comes first, under whatever name models have it.
  #unset() {
    const { default_decoding: preset, methods } = this.#model;
    const name = typeof preset === "string" ? preset : (preset?.name ?? preset?.method);
    if (methods.some((method) => method.name === name)) return unset(name);
    const values = unset(name ? PIPELINE : methods[0].name);
    values.lanes[0].pipeline = name ?? "";
    return values;
  }

  // What was kept, as far as this server knows of it.
  #read() {
    const values = this.#unset();
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(SETTINGS));
    } catch {
      // Whatever lies there is not ours.
    }
    for (const [name, value] of Object.entries(values)) {
      if (typeof kept?.[name] === typeof value && name !== "lanes") values[name] = kept[name];
    }
    values.lanes.forEach((lane, i) => {
      const { method, pipeline, params } = kept?.lanes?.[i] ?? {};
      if (typeof pipeline === "string") lane.pipeline = pipeline;
      if (method === PIPELINE || this.#method(method)) lane.method = method;
      for (const { name, params: specs } of this.#model.methods) {
        for (const spec of specs) {
          const value = params?.[name]?.[spec.name];
          if (typeof value === "string") (lane.params[name] ??= {})[spec.name] = value;
        }
      }
    });
    return values;
  }

  #method(name) {
    return this.#model.methods.find((method) => method.name === name);
  }

  #changed() {
    try {
      localStorage.setItem(SETTINGS, JSON.stringify(this.#values));
    } catch {
      // A browser that keeps nothing: the settings hold until the page is left.
    }
    this.#onChange();
  }

  reset() {
    this.#values = this.#unset();
    this.#draw();
    this.#changed();
  }

  #draw() {
    const { id, layers, context_length: context } = this.#model;
    const fact = (name, text) =>
      text == null ? null : el("div", {}, el("dt", {}, name), el("dd", {}, `${text}`));
    const reset = el("button", { type: "button" }, "Reset all settings");
    reset.addEventListener("click", () => {
      this.reset();
      this.#root.querySelector("select").focus();
    });
    const second = el("fieldset", { id: "second" });
    const showSecond = () => {
      second.hidden = second.disabled = !this.#values.compare;
    };
    this.#lane(second, 1);
    showSecond();
    const first = el("fieldset", {});
    this.#lane(first, 0);
    this.#root.replaceChildren(
      el(
        "dl",
        { class: "lens-facts" },
        fact("model", id),
        fact("layers", layers),
        fact("context", context == null ? null : `${context} tokens`),
      ),
      first,
      this.#check("compare", "Compare with a second method", showSecond),
      second,
      this.#check("layers", "Look at the layers of every token"),
      el(
        "fieldset",
        {},
        el("legend", {}, "Sampling"),
        el(
          "div",
          { class: "pairs" },
          SAMPLING.map(([name, label, range, help]) =>
            this.#field(
              label,
              el("input", { type: "number", placeholder: "default", title: help, ...range }),
              this.#values,
              name,
            ),
          ),
        ),
      ),
      el(
        "fieldset",
        {},
        el("legend", {}, "Conversation"),
        this.#field(
          "System prompt",
          el("textarea", { rows: 3, placeholder: "What is to hold for all answers" }),
          this.#values,
          "system",
        ),
        this.#field(
          "Stop before",
          el("textarea", { rows: 2, placeholder: "A text on each line" }),
          this.#values,
          "stop",
        ),
      ),
      reset,
    );
  }

  // A control that shows and keeps `values[name]`.
  #field(label, control, values, name, ...notes) {
    control.name = name;
    control.value = values[name] ?? "";
    control.addEventListener("input", () => {
      values[name] = control.value;
      this.#changed();
    });
    return el("label", { class: "field" }, el("span", {}, label), control, ...notes);
  }

  #check(name, label, after = () => {}) {
    const box = el("input", { type: "checkbox", name, checked: this.#values[name] });
    box.addEventListener("change", () => {
      this.#values[name] = box.checked;
      after();
      this.#changed();
    });
    return el("label", { class: "check" }, box, ` ${label}`);
  }

  // The method of a lane, and its parameters.
  #lane(root, index) {
    const lane = this.#values.lanes[index];
    const select = el(
      "select",
      { "aria-label": index ? "Second method" : "Method" },
      this.#model.methods.map(({ name }) =>
        el("option", { value: name, selected: name === lane.method }, name),
      ),
      el("option", { value: PIPELINE, selected: lane.method === PIPELINE }, "several in a row"),
    );
    select.addEventListener("change", () => {
      lane.method = select.value;
      this.#lane(root, index);
      root.querySelector("select").focus();
      this.#changed();
    });
    root.replaceChildren(
      el("legend", {}, index ? "Second method" : "Method"),
      select,
      ...(lane.method === PIPELINE ? this.#pipeline(lane) : this.#parameters(lane)),
    );
  }

  #pipeline(lane) {
    const input = el("input", { type: "text", placeholder: "sled+dola", required: true });
    return [
      this.#field("Methods", input, lane, "pipeline"),
      el("p", { class: "lens-note" }, "Parameters in brackets: sled(evolution-rate=1)+dola"),
    ];
  }

  #parameters(lane) {
    const { summary, params } = this.#method(lane.method);
    const about = el("p", { class: "lens-note" }, summary);
    if (!params.length) return [about];
    const values = (lane.params[lane.method] ??= {});
    const count = () => params.filter(({ name }) => (values[name] ?? "").trim() !== "").length;
    const title = el("summary", {});
    const name = () => {
      title.textContent = count() ? `Parameters, ${count()} changed` : "Parameters";
    };
    name();
    const fields = params.map((spec) => {
      const input = el("input", {
        placeholder: presetText(spec.default),
        ...(typeof spec.default === "number"
          ? { type: "number", step: "any" }
          : { type: "text", spellcheck: "false", autocapitalize: "off" }),
      });
      const help = `${spec.help ?? ""}`.replace(/ *\[default:.*\]$/, "");
      return this.#field(
        spec.name.replaceAll("_", " ").replaceAll("-", " "),
        input,
        values,
        spec.name,
        el("small", {}, help),
      );
    });
    // Behind the listeners that keep the values.
    fields.forEach((field) => field.addEventListener("input", name));
    return [about, el("details", { class: "params", open: count() > 0 }, title, fields)];
  }
}
