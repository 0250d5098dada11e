#include "server/chat_request.h"

#include <gtest/gtest.h>

#include "server/refused_field.h"

namespace octet::server {
namespace {

const ToolCallOptions kHermes = {true, ToolCallFormat::hermes};

ChatRequest parse_chat(const std::string& fields, const ToolCallOptions& tools = kHermes) {
  return parse_chat_request(
      R"({"messages":[{"role":"user","content":"Hi"}])" + (fields.empty() ? "" : "," + fields) + "}", {},
      tools);
}

ChatRequest parse_message(const std::string& message) {
  return parse_chat_request(R"({"messages":[)" + message + "]}", {}, kHermes);
}

const std::string kTool = R"("tools":[{"type":"function","function":{"name":"f"}}])";

TEST(ChatRequest, NamesTheFieldThatIsWrong) {
  for (const auto& [fields, path] : std::vector<std::pair<std::string, std::string>>{
           {R"("model":1)", "model"},
           {R"("stream":"yes")", "stream"},
           {R"("stream_options":{"include_usage":true})", "stream_options"},
           {R"("stream":true,"stream_options":7)", "stream_options"},
           {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
           {R"("n":"2")", "n"},
           {R"("n":1.5)", "n"},
           {R"("best_of":3)", "best_of"},
           {R"("temperature":"0")", "temperature"},
           {R"("top_p":[1])", "top_p"},
           {R"("top_k":1.5)", "top_k"},
           {R"("min_p":{})", "min_p"},
           {R"("presence_penalty":true)", "presence_penalty"},
           {R"("frequency_penalty":"1")", "frequency_penalty"},
           {R"("repetition_penalty":"1")", "repetition_penalty"},
           {R"("min_tokens":"1")", "min_tokens"},
           {R"("max_tokens":"1")", "max_tokens"},
           {R"("max_tokens":3000000000)", "max_tokens"},
           {R"("max_completion_tokens":1.5)", "max_completion_tokens"},
           {R"("ignore_eos":1)", "ignore_eos"},
           {R"("skip_special_tokens":0)", "skip_special_tokens"},
           {R"("include_stop_str_in_output":"")", "include_stop_str_in_output"},
           {R"("stop":1)", "stop"},
           {R"("stop":["a",1])", "stop[1]"},
           {R"("stop_token_ids":[1,"a"])", "stop_token_ids[1]"},
           {R"("stop_token_ids":5)", "stop_token_ids"},
           {R"("seed":"x")", "seed"},
           {R"("seed":1.5)", "seed"},
           {R"("logit_bias":[1])", "logit_bias"},
           {R"("logit_bias":{"a":1})", "logit_bias"},
           {R"("logit_bias":{"5":"1"})", "logit_bias.5"},
           {R"("logprobs":5)", "logprobs"},
           {R"("top_logprobs":2)", "top_logprobs"},
           {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
           {R"("logprobs":true,"top_logprobs":-1)", "top_logprobs"},
           {R"("response_format":{"type":"grammar"})", "response_format.type"},
           {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
           {R"("response_format":{"type":"json_schema","json_schema":{}})", "response_format.json_schema.name"},
           {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":"x"}})",
            "response_format.json_schema.schema"},
           {R"("response_format":"text")", "response_format"},
           {R"("guided_json":5)", "guided_json"},
           {R"("guided_regex":["a"])", "guided_regex"},
           {R"("guided_choice":"a")", "guided_choice"},
           {R"("guided_choice":["a",1])", "guided_choice[1]"},
           {R"("guided_grammar":"x")", "guided_grammar"},
           {R"("guided_regex":"a","structured_outputs":{"regex":"a"})", "structured_outputs.regex"},
           {R"("structured_outputs":{"json_object":1})", "structured_outputs.json_object"},
           {R"("structured_outputs":"a")", "structured_outputs"},
           {R"("prompt_logprobs":"1")", "prompt_logprobs"},
           {R"("bad_words":["a"])", "bad_words"},
           {R"("use_beam_search":true)", "use_beam_search"},
           {R"("functions":[{"name":"f"}])", "functions"},
           {R"("echo":true)", "echo"},
           {R"("chat_template":"{{x}}")", "chat_template"},
           {R"("continue_final_message":true)", "continue_final_message"},
           {R"("add_generation_prompt":1)", "add_generation_prompt"},
           {R"("chat_template_kwargs":[1])", "chat_template_kwargs"},
           {R"("tools":{})", "tools"},
           {R"("tools":[1])", "tools[0]"},
           {R"("tools":[{"type":"retrieval"}])", "tools[0].type"},
           {R"("tools":[{"type":"function"}])", "tools[0].function"},
           {R"("tools":[{"function":{"name":5}}])", "tools[0].function.name"},
           {R"("tools":[{"function":{"name":"f","parameters":"x"}}])", "tools[0].function.parameters"},
           {R"("tool_choice":"required")", "tool_choice"},
           {R"("tool_choice":5)", "tool_choice"},
           {kTool + R"(,"tool_choice":"maybe")", "tool_choice"},
           {kTool + R"(,"tool_choice":{"type":"function","function":{"name":"x"}})",
            "tool_choice.function.name"}})
    EXPECT_EQ(refused_field([&, &given = fields] { parse_chat(given); }), path) << fields;
}

TEST(ChatRequest, NamesTheMessageThatIsWrong) {
  for (const auto& [message, path] : std::vector<std::pair<std::string, std::string>>{
           {"5", "messages[0]"},
           {R"({"content":"x"})", "messages[0].role"},
           {R"({"role":1,"content":"x"})", "messages[0].role"},
           {R"({"role":"user"})", "messages[0].content"},
           {R"({"role":"user","content":5})", "messages[0].content"},
           {R"({"role":"user","content":["x"]})", "messages[0].content[0]"},
           {R"({"role":"user","content":[{"type":"text"}]})", "messages[0].content[0].text"},
           {R"({"role":"user","content":[{"type":"text","text":5}]})", "messages[0].content[0].text"},
           {R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]})",
            "messages[0].content[0].type"},
           {R"({"role":"user","content":"x","name":5})", "messages[0].name"},
           {R"({"role":"assistant","tool_calls":5})", "messages[0].tool_calls"},
           {R"({"role":"assistant","tool_calls":[5]})", "messages[0].tool_calls[0]"},
           {R"({"role":"assistant","tool_calls":[{}]})", "messages[0].tool_calls[0].function"},
           {R"({"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"[1]"}}]})",
            "messages[0].tool_calls[0].function.arguments"},
           {R"({"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]})",
            "messages[0].tool_calls[0].function.arguments"}})
    EXPECT_EQ(refused_field([&, &given = message] { parse_message(given); }), path) << message;
}

TEST(ChatRequest, ReadsEverySamplingField) {
  const ChatRequest request = parse_chat(
      R"("model":"m","stream":true,"stream_options":{"include_usage":true},"n":3,"temperature":0.5,"top_p":0.25,
         "top_k":7,"min_p":0.125,"presence_penalty":1,"frequency_penalty":-1,"repetition_penalty":1.5,"min_tokens":2,
         "max_tokens":9,"ignore_eos":true,"skip_special_tokens":false,"include_stop_str_in_output":true,
         "stop":["a","b"],"stop_token_ids":[4],"seed":-1,"logit_bias":{"5":1.5,"6":-100},"logprobs":true,
         "top_logprobs":4,"unknown":{"x":1})");
  const SamplingParams& params = request.params;
  EXPECT_EQ(request.answer.model, "m");
  EXPECT_TRUE(request.answer.stream && request.answer.include_usage);
  EXPECT_EQ(params.n, 3);
  EXPECT_EQ(params.temperature, 0.5);
  EXPECT_EQ(params.top_p, 0.25);
  EXPECT_EQ(params.top_k, 7);
  EXPECT_EQ(params.min_p, 0.125);
  EXPECT_EQ(params.presence_penalty, 1);
  EXPECT_EQ(params.frequency_penalty, -1);
  EXPECT_EQ(params.repetition_penalty, 1.5);
  EXPECT_EQ(params.min_tokens, 2);
  EXPECT_EQ(params.max_tokens, 9);
  EXPECT_TRUE(params.ignore_eos && !params.skip_special_tokens && params.include_stop_str_in_output);
  EXPECT_EQ(params.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(params.stop_token_ids, (std::vector<std::int32_t>{4}));
  EXPECT_EQ(params.seed, UINT64_MAX);
  EXPECT_EQ(params.logit_bias, (std::map<std::int32_t, double>{{5, 1.5}, {6, -100}}));
  EXPECT_EQ(params.logprobs, 4);
}

TEST(ChatRequest, DefaultsAreTheCheckpointsButForMaxTokens) {
  SamplingParams defaults;
  defaults.temperature = 0.6;
  defaults.max_tokens = 16;
  const auto request = parse_chat_request(R"({"messages":[{"role":"user","content":"Hi"}],"temperature":null})",
                                          defaults, kHermes);
  EXPECT_EQ(request.params.temperature, 0.6);
  EXPECT_EQ(request.params.max_tokens, std::nullopt);
  EXPECT_EQ(request.params.logprobs, std::nullopt);
  EXPECT_EQ(parse_chat(R"("max_completion_tokens":5,"max_tokens":9)").params.max_tokens, 5);
  EXPECT_NO_THROW(parse_chat(R"("response_format":{"type":"text"},"guided_json":null,"best_of":1)"));
}

TEST(ChatRequest, JoinsTextPartsAndOpensArguments) {
  const ChatRequest request = parse_message(
      R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
         {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
          "function":{"name":"f","arguments":"{\"z\":1,\"a\":2}"}}]},{"role":"tool","tool_call_id":"1","content":"c"})");
  EXPECT_EQ(request.chat.messages_json,
            R"([{"role":"user","content":"a\nb"},{"role":"assistant","content":"","tool_calls":[{"id":"1",)"
            R"("type":"function","function":{"name":"f","arguments":{"z":1,"a":2}}}]},)"
            R"({"role":"tool","tool_call_id":"1","content":"c"}])");
}

TEST(ChatRequest, ToolsAreShownAndParsedAsToolChoiceSays) {
  EXPECT_EQ(parse_chat(kTool).tool_calls, ToolCallFormat::hermes);
  EXPECT_EQ(parse_chat(kTool).chat.tools_json, R"([{"type":"function","function":{"name":"f"}}])");
  const ChatRequest none = parse_chat(kTool + R"(,"tool_choice":"none")");
  EXPECT_EQ(none.tool_calls, ToolCallFormat::none);
  EXPECT_EQ(none.chat.tools_json, "");
  EXPECT_EQ(parse_chat("").tool_calls, ToolCallFormat::none);
  EXPECT_EQ(refused_field([] { parse_chat(kTool, {}); }), "tool_choice");
  EXPECT_NO_THROW(parse_chat(kTool + R"(,"tool_choice":"none")", {}));
}

TEST(ChatRequest, FormsKeepTheOrderOfMembers) {
  const ChatRequest request = parse_chat(
      R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"properties":{"z":{},"a":{}}}}})");
  EXPECT_EQ(request.params.structured_outputs->json, R"({"properties":{"z":{},"a":{}}})");
  EXPECT_EQ(request.answer.form_field, "response_format.json_schema.schema");
  EXPECT_TRUE(parse_chat(R"("response_format":{"type":"json_object"})").params.structured_outputs->json_object);
  EXPECT_EQ(parse_chat(R"("guided_json":"{}")").params.structured_outputs->json, "{}");
  EXPECT_EQ(parse_chat(R"("structured_outputs":{"choice":["a","b"]})").params.structured_outputs->choice,
            (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(parse_chat(R"("structured_outputs":null,"guided_json":null)").params.structured_outputs);
}

TEST(ChatRequest, AToolChoiceIsAForm) {
  const std::string tools =
      R"("tools":[{"function":{"name":"f"}},{"function":{"name":"g","parameters":{"$ref":"#/$defs/x","$defs":{"x":{}}}}}])";
  const ChatRequest any = parse_chat(tools + R"(,"tool_choice":"required","parallel_tool_calls":false)", {});
  EXPECT_EQ(any.tool_calls, ToolCallFormat::array);
  const std::string schema = *any.params.structured_outputs->json;
  EXPECT_NE(schema.find(R"("$ref":"#/$defs/1/$defs/x")"), schema.npos) << schema;
  EXPECT_NE(schema.find(R"("maxItems":1)"), schema.npos) << schema;
  const ChatRequest named =
      parse_chat(tools + R"(,"tool_choice":{"type":"function","function":{"name":"g"}})", {});
  EXPECT_EQ(named.tool_calls, ToolCallFormat::arguments);
  EXPECT_EQ(named.tool_function, "g");
  EXPECT_EQ(named.answer.form_field, "tools[1].function.parameters");
  EXPECT_EQ(refused_field([&] { parse_chat(tools + R"(,"tool_choice":"required","guided_regex":"a")"); }),
            "guided_regex");
}

TEST(ChatRequest, TemplateVariables) {
  EXPECT_EQ(parse_chat(R"("chat_template_kwargs":{"enable_thinking":false},"documents":[{"text":"d"}])")
                .chat.template_kwargs_json,
            R"({"enable_thinking":false,"documents":[{"text":"d"}]})");
  EXPECT_EQ(parse_chat("").chat.template_kwargs_json, "");
}

}  // namespace
}  // namespace octet::server
