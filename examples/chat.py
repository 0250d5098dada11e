"""The official openai client against `octet serve MODEL_DIR`: pip install openai, then python examples/chat.py

For the tools start the server with --enable-auto-tool-choice --tool-call-parser hermes (Qwen) or llama3_json (Llama 3).
"""

import json
import os
import sys

import openai

client = openai.OpenAI(base_url=os.environ.get("OCTET_URL", "http://localhost:8000") + "/v1",
                       api_key=os.environ.get("OCTET_API_KEY", "none"))
model = client.models.list().data[0].id
question = [{"role": "user", "content": " ".join(sys.argv[1:]) or "Why is the sky blue?"}]

for chunk in client.chat.completions.create(model=model, messages=question, max_tokens=120, stream=True,
                                            stream_options={"include_usage": True}):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    else:
        usage = chunk.usage
        cached = usage.prompt_tokens_details.cached_tokens
        print(f"\n\n{usage.prompt_tokens} tokens of prompt, {cached} of them cached; "
              f"{usage.completion_tokens} of answer")

weather = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
try:
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "What is the weather in Oslo?"}], tools=[weather],
        max_tokens=120)
except openai.BadRequestError as error:
    print("no tools:", error.message)
else:
    for call in answer.choices[0].message.tool_calls or []:
        print("the model calls", call.function.name, "with", json.loads(call.function.arguments))
