#include "apps/evaluation_json.h"

#include <octet/version.h>

#include <nlohmann/json.hpp>

#include "apps/evaluation_template.h"

namespace octet::apps {

namespace {

using Json = nlohmann::ordered_json;

Json likelihood_json(const LikelihoodFigures& figures) {
  Json buckets = Json::array();
  for (const PositionFigures& bucket : figures.by_position)
    buckets.push_back(
        {{"begin", bucket.begin}, {"end", bucket.end}, {"count", bucket.count}, {"mean_kl", bucket.mean_kl}});
  return {{"positions", figures.positions},
          {"predictions", figures.predictions},
          {"mean_nll", figures.mean_nll},
          {"perplexity", figures.perplexity},
          {"kl",
           {{"mean", figures.kl.mean},
            {"standard_error", figures.kl.standard_error},
            {"median", figures.kl.median},
            {"p99", figures.kl.p99},
            {"largest", figures.kl.largest}}},
          {"top1_agreement", figures.top1_agreement},
          {"kl_by_position", buckets}};
}

Json drift_json(const DriftFigures& figures) {
  Json texts = Json::array();
  for (const DriftText& text : figures.texts)
    texts.push_back({{"baseline_tokens", text.baseline_tokens},
                     {"first_difference", text.first_difference},
                     {"in_common", text.in_common},
                     {"baseline_text", text.baseline_text},
                     {"text", text.text}});
  return {{"mean_first_difference", figures.mean_first_difference},
          {"median_first_difference", figures.median_first_difference},
          {"in_common", figures.in_common},
          {"identical", figures.identical},
          {"texts", texts}};
}

Json heads_json(const std::vector<HeadFigures>& heads) {
  Json rows = Json::array();
  for (const HeadFigures& head : heads)
    rows.push_back({{"absmax", head.absmax},
                    {"scale", head.scale},
                    {"saturation", head.saturation},
                    {"underflow", head.underflow},
                    {"sqnr_db", head.sqnr_db}});
  return rows;
}

Json layers_json(const std::vector<LayerFigures>& layers) {
  Json rows = Json::array();
  for (const LayerFigures& layer : layers)
    rows.push_back({{"k_dtype", layer.k_dtype},
                    {"v_dtype", layer.v_dtype},
                    {"k", heads_json(layer.k)},
                    {"v", heads_json(layer.v)},
                    {"output_sqnr_db", layer.output_sqnr_db}});
  return rows;
}

Json config_json(const ConfigFigures& figures) {
  Json needles = Json::array();
  for (const NeedleFigures& cell : figures.needles)
    needles.push_back(
        {{"length", cell.length}, {"depth", cell.depth}, {"logprob", cell.logprob}, {"found", cell.found}});
  return {{"name", figures.name},
          {"directory", figures.directory},
          {"dtype", figures.dtype},
          {"bytes_per_token", figures.bytes_per_token},
          {"scale_source", figures.scale_source},
          {"scale_strategy", figures.scale_strategy},
          {"likelihood", figures.likelihood ? likelihood_json(*figures.likelihood) : Json(nullptr)},
          {"drift", figures.drift ? drift_json(*figures.drift) : Json(nullptr)},
          {"layers", layers_json(figures.layers)},
          {"needles", needles}};
}

}  // namespace

std::string evaluation_json(const EvaluationResult& result, bool indented) {
  Json configs = Json::array();
  for (const ConfigFigures& figures : result.configs) configs.push_back(config_json(figures));
  const Json document = {{"octet", version()},
                         {"model", result.model},
                         {"isa", result.isa},
                         {"threads", result.threads},
                         {"documents", result.documents},
                         {"tokens", result.tokens},
                         {"context", result.context},
                         {"stride", result.stride},
                         {"min_context", result.min_context},
                         {"num_layers", result.num_layers},
                         {"num_heads", result.num_heads},
                         {"num_kv_heads", result.num_kv_heads},
                         {"layer_tokens", result.layer_tokens},
                         {"needle_samples", result.needle_samples},
                         {"baseline", result.configs.front().name},
                         {"configs", configs},
                         {"notices", result.notices}};
  return document.dump(indented ? 2 : -1, ' ', false, Json::error_handler_t::replace);
}

std::string evaluation_page(const EvaluationResult& result) {
  // In a script no text may look like its end, or like a comment of HTML.
  std::string data;
  for (const char c : evaluation_json(result, false)) data += c == '<' ? "\\u003c" : std::string(1, c);
  std::string page = evaluation_template();
  const std::string place = "/*EVALUATION*/null";
  return page.replace(page.find(place), place.size(), data);
}

}  // namespace octet::apps
