#!/usr/bin/env bash
# The OpenAI API of `octet serve MODEL_DIR`, with curl. OCTET_URL and OCTET_API_KEY choose another server and a key.
set -euo pipefail
url=${OCTET_URL:-http://localhost:8000}
ask() { curl --fail-with-body -sSN "$url$1" -H "Authorization: Bearer ${OCTET_API_KEY:-none}" "${@:2}"; echo; }
post() { ask "$1" -H 'Content-Type: application/json' -d "$2"; }

echo "--- a chat"
post /v1/chat/completions '{
  "messages": [{"role": "user", "content": "Explain in two sentences why the sky is blue."}],
  "max_tokens": 80, "temperature": 0}'

echo "--- the same, streamed"
post /v1/chat/completions '{
  "messages": [{"role": "user", "content": "Explain in two sentences why the sky is blue."}],
  "max_tokens": 80, "temperature": 0, "stream": true, "stream_options": {"include_usage": true}}'

echo "--- two texts to go on with, three likeliest tokens at each step"
post /v1/completions '{"prompt": ["London is the capital of", "Two and two is"], "max_tokens": 8, "temperature": 0, "logprobs": 3}'

echo "--- tokens"
post /tokenize '{"prompt": "London is the capital of"}'

echo "--- how full the cache is, and whether the scales still fit"
ask /metrics | grep -E '^octet:(num_requests|kv_cache_usage|prefix_cache|kv_saturated)'
