// The local Hugging Face cache: where a model stands that is given by its name on the hub.
//
// Everything that takes a model takes either a path or such a name, "ORGANISATION/MODEL"; nothing is ever
// downloaded. Functions are pure but for the environment and the file system that they read; any thread may
// call them. Source: huggingface_hub's layout of its cache, models--ORGANISATION--MODEL/{refs,snapshots}.
#pragma once

#include <octet/error.h>

#include <string>

namespace octet {

// HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. The
// folder need not be there.
OCTET_EXPORT std::string hub_cache();

// The path of `model`: itself where something stands at that path, or where the cache does not hold the name;
// else the snapshot that `revision` (a branch, a tag or a commit) is of it. Throws Error: not_found for a model
// that is in the cache but has no such revision, invalid_argument for a revision that is not a name.
OCTET_EXPORT std::string find_model(const std::string& model, const std::string& revision = "main");

}  // namespace octet
