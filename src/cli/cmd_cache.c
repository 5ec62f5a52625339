/* cmd_cache.c: `marque cache`, the feature caches on this machine: listed and removed. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "cli/cli.h"
#include "infer/features.h"
#include "net/program.h"

#include <errno.h>
#include <math.h>
#include <string.h>

typedef struct {
    bool all, json;
} cache_options;

static const mq_option params[] = {
    {.name = "all",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(cache_options, all),
     .help = "with rm: remove every one"},
    {.name = "json",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(cache_options, json),
     .help = "print JSON for programs"},
    {.name = NULL},
};

/* A key is a folder's name of hex digits; nothing else is ever touched. */
static bool is_key(const char *name) {
    return *name && strspn(name, "0123456789abcdef") == strlen(name);
}

typedef mq_status (*visit_cache)(mq_err *err, void *user, const char *key, const char *folder);

static mq_status each_cache(mq_err *err, visit_cache visit, void *user) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *base = NULL, *folder = NULL;
    MQ_TRY(mq_features_folder(err, &base));
    if (!mq_folder_exists(base)) goto cleanup; /* nothing was cached yet */
    MQ_TRY(mq_names_in(err, base, &names));
    for (size_t i = 0; i < names.count; i++) {
        if (!is_key(names.items[i])) continue;
        free(folder);
        folder = NULL;
        MQ_TRY(mq_path_join(err, base, names.items[i], &folder));
        MQ_TRY(visit(err, user, names.items[i], folder));
    }
cleanup:
    mq_names_free(&names);
    free(base);
    free(folder);
    return status;
}

/* Whether this marque on this processor can read what a program wrote. Another's is never read again, unless
 * that one comes back. */
static bool is_ours(const char *program) {
    char text[MQ_NUMBERS_SIZE];
    for (mq_dtype dtype = 0; program && dtype < MQ_DTYPES; dtype++) {
        mq_dnn_numbers(dtype, text);
        if (strcmp(program, text) == 0) return true;
    }
    return false;
}

typedef struct {
    mq_json *list; /* NULL: print a table */
    uint64_t total;
} cache_list;

static mq_status show(mq_err *err, void *user, const char *key, const char *folder) {
    mq_status status = MQ_OK;
    cache_list *list = user;
    char *path = NULL, data[256];
    mq_json *meta = NULL, *row = NULL;
    mq_err unreadable = {0};
    MQ_TRY(mq_path_join(err, folder, "meta.json", &path));
    const bool damaged = mq_json_load(&unreadable, path, &meta) != MQ_OK || !mq_json_is_object(meta);
    const char *of = mq_json_string(mq_json_get(meta, "data")),
               *split = mq_json_string(mq_json_get(meta, "split"));
    const bool ours = is_ours(mq_json_string(mq_json_get(meta, "program")));
    const uint64_t bytes = mq_features_size(folder);
    const double whole = mq_json_real(mq_json_get(meta, "bytes"));
    /* Chunks that were cut short take some bytes more than whole ones. */
    const double share = whole > 0 ? fmin(1, (double)bytes / whole) : 0;
    list->total += bytes;
    if (list->list) {
        MQ_TRY(mq_json_pack(err, &row, "{s:s, s:o?, s:o?, s:I, s:f, s:b}", "key", key, "data",
                            mq_json_text(of), "split", mq_json_text(split), "bytes", (long long)bytes,
                            "complete", share, "usable", (int)ours));
        MQ_TRY(mq_json_append(err, list->list, row));
    } else {
        printf("%s  %8.1f MB  %3.0f %%  %-5s  %s%s\n", key, (double)bytes / 1e6, 100 * share,
               split ? split : "?", mq_text_safe(of ? of : "?", data, sizeof data),
               ours      ? ""
               : damaged ? "  (its meta.json is damaged: remove it)"
                         : "  (of another marque or processor: of no use here)");
    }
cleanup:
    mq_json_free(&meta);
    free(path);
    return status;
}

static mq_status list_caches(mq_err *err, bool json) {
    mq_status status = MQ_OK;
    cache_list list = {0};
    if (json) MQ_TRY(mq_json_pack(err, &list.list, "[]"));
    MQ_TRY(each_cache(err, show, &list));
    if (json) {
        MQ_TRY(mq_print_json(err, &list.list));
    } else {
        printf("%.1f MB in all; marque cache rm KEY or rm --all frees it\n", (double)list.total / 1e6);
    }
cleanup:
    mq_json_free(&list.list);
    return status;
}

static mq_status remove_cache(mq_err *err, const char *key, const char *folder, bool *busy) {
    const mq_status status = mq_features_remove(err, folder, busy);
    if (status == MQ_OK) printf("removed %s\n", key);
    return status;
}

/* Caches that stay. */
typedef struct {
    size_t busy, denied;
} kept;

/* One in use, or that may not be removed, is left alone and counted. */
static mq_status remove_unused(mq_err *err, void *user, const char *key, const char *folder) {
    kept *k = user;
    bool busy;
    mq_err why = {0};
    const mq_status status = remove_cache(&why, key, folder, &busy);
    if (status == MQ_OK) return MQ_OK;
    if (status != MQ_CANNOT_CREATE) return mq_fail(err, status, "%s", why.text);
    mq_warn("%s", why.text);
    (*(busy ? &k->busy : &k->denied))++;
    return MQ_OK;
}

static mq_status remove_all(mq_err *err) {
    mq_status status = MQ_OK;
    kept k = {0};
    MQ_TRY(each_cache(err, remove_unused, &k));
    MQ_REQUIRE(!k.denied, err, MQ_CANNOT_CREATE, "%zu cannot be removed, %zu in use stay", k.denied, k.busy);
    MQ_REQUIRE(!k.busy, err, MQ_CANNOT_CREATE, "%zu in use stay; try again when their runs have ended",
               k.busy);
cleanup:
    return status;
}

static mq_status remove_one(mq_err *err, const char *key) {
    mq_status status = MQ_OK;
    char *base = NULL, *folder = NULL;
    bool busy;
    MQ_REQUIRE(is_key(key), err, MQ_USAGE, "\"%.40s\" is no key; marque cache lists them", key);
    MQ_TRY(mq_features_folder(err, &base));
    MQ_TRY(mq_path_join(err, base, key, &folder));
    MQ_REQUIRE(mq_folder_exists(folder), err, MQ_NO_INPUT, "%s: no such cache; marque cache lists them", key);
    MQ_TRY(remove_cache(err, key, folder, &busy));
cleanup:
    free(base);
    free(folder);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const cache_options *o = call->options;
    const char *action = call->arg_count ? call->args[0] : "list";
    if (strcmp(action, "list") == 0 && call->arg_count < 2 && !o->all) return list_caches(err, o->json);
    MQ_REQUIRE(strcmp(action, "rm") == 0 && o->all == (call->arg_count == 1), err, MQ_USAGE,
               "usage: marque cache [list | rm KEY... | rm --all]");
    if (o->all) return remove_all(err);
    for (size_t i = 1; i < call->arg_count; i++) MQ_TRY(remove_one(err, call->args[i]));
cleanup:
    return status;
}

const mq_command mq_cmd_cache = {
    .name = "cache",
    .usage = "[list | rm KEY... | rm --all] [--json]",
    .summary = "list or remove cached features",
    .words = "list|rm",
    .params = params,
    .options_size = sizeof(cache_options),
    .args_max = 64,
    .examples = "  marque cache\n  marque cache rm 0f1e2d3c4b5a6978\n  marque cache rm --all\n",
    .run = run,
};
