// The live view of the cache, from /metrics.

// name without its prefix -> [{labels, value}]
function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const parts = /^\w+:(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!parts) continue;
    const labels = {};
    for (const [, name, value] of (parts[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[name] = value.replace(/\\(.)/g, "$1");
    if (!found.has(parts[1])) found.set(parts[1], []);
    found.get(parts[1]).push({labels, value: Number(parts[3])});
  }
  return found;
}

const metric = (metrics, name) => metrics.get(name)?.[0]?.value;
const cacheInfo = (metrics) => metrics.get("cache_config_info")?.[0]?.labels ?? {};

function percent(share) { return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`; }

const cacheView = {
  history: [],      // of usage, a point a second or so
  before: null,     // {time, tokens, saturated}
  nodes: null,

  build() {
    const fill = make("div"), path = svg("path"), row = () => make("dd");
    const nodes = {fill, path, usage: row(), requests: row(), hits: row(), rate: row(), saturated: row(),
                   preempted: row(), size: row(), scales: row()};
    const trace = svg("svg", {viewBox: "0 0 59 34", preserveAspectRatio: "none", class: "trace", "aria-hidden": "true"},
                      svg("line", {x1: 0, x2: 59, y1: 33, y2: 33}), path);
    const list = make("dl");
    for (const [name, node] of [
      ["In use", nodes.usage], ["Requests", nodes.requests], ["Prefix hits", nodes.hits],
      ["Generated", nodes.rate], ["Saturated", nodes.saturated], ["Preemptions", nodes.preempted],
      ["A token takes", nodes.size], ["Scales", nodes.scales]]) list.append(make("dt", {}, name), node);
    byId("cache").append(make("div", {className: "meter", "aria-hidden": "true"}, fill), trace, list);
    this.nodes = nodes;
  },

  show(metrics) {
    if (!this.nodes) this.build();
    const nodes = this.nodes, info = cacheInfo(metrics);
    const usage = metric(metrics, "kv_cache_usage_perc") ?? 0;
    const used = metric(metrics, "kv_cache_used_blocks"), blocks = metric(metrics, "kv_cache_blocks");
    const active = metric(metrics, "num_requests_running") ?? 0;
    const waiting = metric(metrics, "num_requests_waiting") ?? 0;
    const queries = metric(metrics, "prefix_cache_queries_total") ?? 0;
    const hits = metric(metrics, "prefix_cache_hits_total") ?? 0;
    this.history = [...this.history, usage].slice(-60);
    nodes.fill.style.width = `${100 * usage}%`;
    nodes.path.setAttribute("d", this.history.map((share, index) =>
      `${index ? "L" : "M"}${60 - this.history.length + index},${(33 - 32 * share).toFixed(2)}`).join(""));
    nodes.usage.textContent = percent(usage) + (blocks ? `, ${readableNumber(used)} of ${plural(blocks, "block")}` : "");
    nodes.requests.textContent = `${active} running, ${waiting} waiting`;
    nodes.hits.textContent = queries ? `${percent(hits / queries)} of ${plural(queries, "token")}` : "none yet";
    nodes.preempted.textContent = readableNumber(metric(metrics, "num_preemptions_total") ?? 0);
    nodes.size.textContent = info.bytes_per_token ? plural(Number(info.bytes_per_token), "byte") : "unknown";
    nodes.scales.textContent = [info.scale_source, info.scale_strategy].filter(Boolean).join(", ") || "none";
    this.showRates(metrics);
    byId("dtype").textContent = info.cache_dtype ?? "";
    byId("strip").textContent = `${info.cache_dtype ?? "cache"} · ${percent(usage)} · ${active} running, ` +
      `${waiting} waiting · ${queries ? percent(hits / queries) : "0 %"} hits`;
  },

  showRates(metrics) {
    const layers = new Map();
    let saturated = 0;
    for (const {labels, value} of metrics.get("kv_saturated_total") ?? []) {
      saturated += value;
      if (value) layers.set(`${labels.tensor} of layer ${labels.layer}`, value);
    }
    const worst = [...layers].sort((a, b) => b[1] - a[1])[0];
    const now = {time: performance.now(), tokens: metric(metrics, "generation_tokens_total") ?? 0, saturated};
    const before = this.before ?? now;
    const seconds = (now.time - before.time) / 1000;
    const rate = seconds > 0 ? Math.max(now.tokens - before.tokens, 0) / seconds : 0;
    this.before = now;
    this.nodes.rate.textContent = `${rate.toFixed(1)} tokens/s`;
    this.nodes.saturated.textContent = readableNumber(saturated) + (worst ? `, most in ${worst[0]}` : "");
    this.nodes.saturated.classList.toggle("bad", saturated > before.saturated);
  },

  wake() {},  // asks now

  // Asks every second while an answer comes, else every three, where somebody looks; never two questions at once.
  async watch() {
    for (;;) {
      if (!document.hidden) {
        try {
          this.show(await settings.ownServer().metrics());
          byId("cache-problem").hidden = true;
        } catch (error) {
          byId("cache-problem").textContent = error.message;
          byId("cache-problem").hidden = false;
          byId("strip").textContent = error.message;
        }
      }
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, running ? 1000 : 3000);
      });
    }
  },
};

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
