#include "engine.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <utility>

#include "bindings.h"

namespace octet::python {

namespace nb = nanobind;
using nb::literals::operator""_a;

Engine::Engine(LLMOptions options, int max_queue, std::string chat_template)
    : llm_(std::make_unique<AsyncLLM>(AsyncLLMOptions{
          .llm = std::move(options), .max_queue = max_queue, .chat_template_file = std::move(chat_template)})) {
}

Engine::~Engine() {
  if (::getpid() != owner_) static_cast<void>(llm_.release());
}

AsyncLLM& Engine::llm() const {
  if (::getpid() == owner_) return *llm_;
  throw Error(ErrorCode::unavailable,
              "this LLM belongs to process " + std::to_string(owner_) +
                  ", whose threads a forked child does not have; make the LLM in the child, or start the child "
                  "with multiprocessing's \"spawn\"",
              "fork");
}

std::unique_ptr<Request> Engine::submit(std::vector<std::int32_t> token_ids, const SamplingParams& params,
                                        const Mailbox& mailbox, std::int64_t key) const {
  return std::make_unique<Request>(
      llm().submit({.prompt = std::move(token_ids), .params = params, .on_update = mailbox.bell(key)}));
}

namespace {

using WithoutGil = nb::call_guard<nb::gil_scoped_release>;

nb::list group_rows(const std::vector<KvCacheGroup>& groups) {
  nb::list rows;
  for (const KvCacheGroup& group : groups) {
    nb::dict d;
    d["window"] = group.window;
    d["layers"] = nb::cast(group.layers);
    d["dtype"] = group.dtype;
    d["bytes_per_token"] = group.bytes_per_token;
    d["num_blocks"] = group.num_blocks;
    d["used_blocks"] = group.used_blocks;
    rows.append(d);
  }
  return rows;
}

nb::dict cache_stats(const Engine& engine) {
  const KvCacheStats stats = engine.llm().kv_cache_stats();
  nb::dict d;
  d["dtype"] = stats.dtype;
  d["k_dtype"] = stats.k_dtype;
  d["v_dtype"] = stats.v_dtype;
  d["skip_layers"] = nb::cast(stats.skip_layers);
  d["bytes_per_token"] = stats.bytes_per_token;
  d["block_size"] = stats.block_size;
  d["num_blocks"] = stats.num_blocks;
  d["total_bytes"] = stats.total_bytes;
  d["capacity_tokens"] = stats.capacity_tokens;
  d["max_concurrency"] = stats.max_concurrency;
  d["used_blocks"] = stats.used_blocks;
  d["groups"] = group_rows(stats.groups);
  d["scale_source"] = stats.scale_source;
  d["scale_strategy"] = stats.scale_strategy;
  d["attention_math"] = stats.attention_math;
  d["stored_values"] = nb::cast(stats.stored_values);
  d["saturated_values"] = nb::cast(stats.saturated_values);
  return d;
}

void bind_waiting(nb::module_& m) {
  nb::class_<Mailbox>(m, "Mailbox")
      .def(nb::init<>())
      .def("fileno", &Mailbox::fileno)
      .def("take", &Mailbox::take)
      .def("wait", &Mailbox::wait, "seconds"_a, WithoutGil());
  nb::class_<Request>(m, "Request")
      .def("advance", &Request::advance)
      .def("cancel", &Request::cancel)
      .def_prop_ro("output", &Request::output, nb::rv_policy::reference_internal)
      .def_prop_ro("usage", &Request::usage, nb::rv_policy::copy);
}

}  // namespace

void bind_engine(nb::module_& m) {
  bind_waiting(m);
  nb::class_<Engine>(m, "Engine", nb::is_weak_referenceable())
      .def(nb::init<LLMOptions, int, std::string>(), "options"_a, "max_queue"_a, "chat_template"_a,
           WithoutGil())
      .def("submit", &Engine::submit, "token_ids"_a, "params"_a, "mailbox"_a, "key"_a, WithoutGil())
      .def(
          "encode",
          [](const Engine& e, const std::string& text, bool special) { return e.llm().encode(text, special); },
          "text"_a, "add_special_tokens"_a, WithoutGil())
      .def(
          "decode",
          [](const Engine& e, const std::vector<std::int32_t>& ids, bool skip) {
            return e.llm().decode(ids, skip);
          },
          "token_ids"_a, "skip_special_tokens"_a, WithoutGil())
      .def(
          "token_text", [](const Engine& e, std::int32_t id) { return e.llm().token_text(id); }, "token_id"_a)
      .def(
          "render_chat",
          [](const Engine& e, std::string messages, std::string tools, bool add_generation_prompt,
             std::string kwargs) {
            return e.llm().render_chat(
                {std::move(messages), std::move(tools), add_generation_prompt, std::move(kwargs)});
          },
          "messages_json"_a, "tools_json"_a, "add_generation_prompt"_a, "template_kwargs_json"_a, WithoutGil())
      .def("stop_accepting", [](const Engine& e) { e.llm().stop_accepting(); })
      .def("abort_all", [](const Engine& e) { e.llm().abort_all(); })
      .def("default_sampling_params", [](const Engine& e) { return e.llm().default_sampling_params(); })
      .def("kv_cache_stats", cache_stats)
      .def("notices", [](const Engine& e) { return e.llm().notices(); })
      .def_prop_ro("max_model_len", [](const Engine& e) { return e.llm().max_model_len(); })
      .def_prop_ro("vocab_size", [](const Engine& e) { return e.llm().vocab_size(); })
      .def_prop_ro("isa", [](const Engine& e) { return e.llm().isa(); })
      .def_prop_ro("threads", [](const Engine& e) { return e.llm().threads(); });
}

}  // namespace octet::python
