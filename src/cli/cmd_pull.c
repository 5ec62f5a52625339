/* cmd_pull.c: `marque pull`: a network's trained weights, once, into the cache.
 * Invariant: what lies in the cache has been compared with the network tensor
 * by tensor, and says where it came from. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "fetch/fetch.h"
#include "net/weights.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Whatever holds the trunk may be larger than the trunk; more than this is a mistake. */
static const uint64_t download_max = (uint64_t)640 << 20;

typedef struct {
    const char *from;
    const char *sha256;
    bool list;
} pull_options;

static const mq_option params[] = {
    {.name = "from",
     .kind = MQ_OPTION_TEXT,
     .value = "FILE|URL",
     .offset = offsetof(pull_options, from),
     .help = "take them from this .keras, .weights.h5 or .h5 file, which may be a larger model"},
    {.name = "sha256",
     .kind = MQ_OPTION_TEXT,
     .value = "HEX",
     .offset = offsetof(pull_options, sha256),
     .help = "refuse a --from file with another SHA-256"},
    {.name = "list",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(pull_options, list),
     .help = "show the known networks, their size, licence and whether they are here"},
    {.name = NULL},
};

/* One pull: of which network, from where, to where. */
typedef struct {
    const mq_arch *arch;
    const char *source; /* address or file as the user gave it */
    char *shown;        /* the same, without what is secret in an address: what is told and kept */
    bool by_name;       /* Keras' own file, whose checksum marque knows */
    char *place;        /* the .safetensors file in the cache */
    char *folder;       /* its folder */
    char *download;     /* where a download goes; NULL: source is a file */
    char sha256[MQ_HEX_SIZE];
    bool verified; /* what came is Keras' own file, by its MD5 */
} pull;

/* A file may have a colon in its name, but hardly this. */
static bool is_url(const char *text) {
    return strstr(text, "://") != NULL;
}

/* One line for each network, for people and for scripts. */
static void list_networks(void) {
    char *place = NULL;
    const mq_arch *arch;
    for (size_t i = 0; (arch = mq_arch_at(i)); i++) {
        mq_err unknown = {0};
        const bool known = mq_weights_place(&unknown, arch->name, &place) == MQ_OK;
        const bool here = known && mq_file_exists(place);
        mq_bundle *weights = NULL; /* those that are here may be others than Keras' own */
        const bool read = here && mq_bundle_open_lightly(&unknown, place, &weights) == MQ_OK;
        const char *licence = read ? mq_bundle_meta(weights, "licence") : NULL;
        printf("%-12s %4.0f MB  %s  %s%s\n", arch->name, (double)arch->bytes / 1e6,
               licence && strcmp(licence, "unknown") == 0 ? "licence unknown"
               : licence                                  ? licence
                                                          : arch->licence,
               here    ? "here: "
               : known ? "not here"
                       : unknown.text,
               here ? place : "");
        mq_bundle_free(&weights);
        free(place);
        place = NULL;
    }
}

static void show_progress(void *user, uint64_t done, uint64_t total) {
    const pull *p = user;
    if (total)
        mq_progress("%s: %.1f of %.1f MB", p->arch->name, (double)done / 1e6, (double)total / 1e6);
    else
        mq_progress("%s: %.1f MB", p->arch->name, (double)done / 1e6);
}

static mq_status check_sha256(mq_err *err, const char *hex) {
    bool good = strlen(hex) == 64;
    for (const char *c = hex; *c; c++) good = good && isxdigit((unsigned char)*c);
    return good ? MQ_OK : mq_fail(err, MQ_USAGE, "--sha256 wants 64 hexadecimal digits");
}

/* Says what will be fetched and fetches it. */
static mq_status download(mq_err *err, pull *p, const char *sha256) {
    const char *digest = p->by_name ? p->arch->md5 : sha256;
    const mq_fetch_options options = {
        .digest = digest,
        .bytes = p->by_name ? p->arch->bytes : 0,
        .bytes_max = download_max,
        .ca_file = getenv("SSL_CERT_FILE"),
        .progress = show_progress,
        .stop = mq_stop_wanted,
        .user = p,
    };
    if (p->by_name)
        mq_note("downloading %s: %.0f MB, %s, from %s", p->arch->name, (double)p->arch->bytes / 1e6,
                p->arch->licence, p->shown);
    else
        mq_note("downloading %s from %s", p->arch->name, p->shown);
    mq_err why = {0};
    const mq_status status = mq_fetch(&why, p->source, p->download, &options);
    if (status == MQ_UNAVAILABLE && p->by_name)
        return mq_fail(err, status,
                       "%s. Where there is a network, fetch that address (MD5 %s), then here: marque pull %s "
                       "--from FILE",
                       why.text, p->arch->md5, p->arch->name);
    return status == MQ_OK ? MQ_OK : mq_fail(err, status, "%s", why.text);
}

/* Takes exactly the network's tensors out of file. */
static mq_status convert(mq_err *err, const pull *p, const char *file, mq_bundle **bundle) {
    mq_status status = MQ_OK;
    mq_graph *graph = NULL;
    mq_foreign_list list = {0};
    MQ_TRY(p->arch->build(err, p->arch->imgsz, &graph));
    MQ_TRY(mq_weights_list(err, p->arch->name, graph, &list));
    MQ_TRY(mq_foreign_read(err, file, &list, bundle));
cleanup:
    free(list.layers);
    mq_graph_free(&graph);
    return status;
}

/* Writes the tensors with what is known of their origin, which models trained on them will repeat. */
static mq_status store(mq_err *err, const pull *p, const mq_bundle *bundle) {
    mq_status status = MQ_OK;
    mq_tensor *tensors = NULL;
    char *source = NULL;
    const size_t count = mq_bundle_count(bundle);
    const char *format = mq_bundle_meta(bundle, "format"), *keras = mq_bundle_meta(bundle, "keras_version");
    MQ_TRY(mq_calloc(err, count, sizeof *tensors, "the list of tensors", &tensors));
    for (size_t i = 0; i < count; i++) tensors[i] = *mq_bundle_at(bundle, i);
    source = p->by_name || is_url(p->source) ? strdup(p->shown) : realpath(p->source, NULL);
    mq_json *clean = mq_json_text(source); /* a file's name may be no UTF-8 */
    const mq_meta meta[] = {
        {"marque.weights", "1"},
        {MQ_BUNDLE_SEAL, ""},
        {"arch", p->arch->name},
        {"licence", p->verified ? p->arch->licence : "unknown"},
        {"source", clean ? mq_json_string(clean) : "unknown"},
        {"source.sha256", p->sha256},
        {"source.verified", p->verified ? "yes, by the published MD5" : "no"},
        {"source.format", format ? format : ""},
        {"source.keras_version", keras ? keras : ""},
    };
    status = mq_bundle_write(err, p->place, tensors, count, meta, sizeof meta / sizeof *meta);
    mq_json_free(&clean);
cleanup:
    free(tensors);
    free(source);
    return status;
}

/* The SHA-256 of what the weights come from, which the user may have asked for. */
static mq_status digest_source(mq_err *err, pull *p, const char *file, const char *wanted) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_digest_file(err, MQ_SHA256, file, p->sha256));
    MQ_REQUIRE(!wanted || strcasecmp(wanted, p->sha256) == 0, err, MQ_BAD_DATA,
               "%s: has the SHA-256 %s instead of %s", p->shown, p->sha256, wanted);
cleanup:
    return status;
}

/* Weights that are there serve where they came from the very file that --from names; an address is known by
 * its text, without a download, or, where it has a query, by the SHA-256 that it should have. */
static mq_status compare_stored(mq_err *err, pull *p, const char *wanted) {
    mq_status status = MQ_OK;
    mq_bundle *stored = NULL;
    MQ_TRY(mq_bundle_open_lightly(err, p->place, &stored));
    const char *source = mq_bundle_meta(stored, "source"), *sha256 = mq_bundle_meta(stored, "source.sha256");
    if (!p->download) MQ_TRY(digest_source(err, p, p->source, wanted));
    const char *named = p->download ? wanted : p->sha256;
    const bool same = (!named || (sha256 && strcasecmp(sha256, named) == 0)) &&
                      (!p->download || (source && strcmp(source, p->shown) == 0));
    MQ_REQUIRE(same, err, MQ_CANNOT_CREATE,
               "%s: holds other weights already, from %s; remove that file to take those of %s", p->place,
               source ? source : "an unknown source", p->shown);
    MQ_REQUIRE(
        named || !strchr(p->source, '?'), err, MQ_CANNOT_CREATE,
        "%s: holds weights from %s, but the query of an address is not kept; --sha256 tells whether they "
        "are the same, or remove that file",
        p->place, p->shown);
cleanup:
    mq_bundle_free(&stored);
    return status;
}

/* Everything that can be refused before the network is touched. */
static mq_status open_pull(mq_err *err, const pull_options *o, const char *name, pull *p) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_weights_place(err, name, &p->place));
    p->arch = mq_arch_find(name);
    p->by_name = !o->from;
    p->source = o->from ? o->from : p->arch->url;
    if (is_url(p->source))
        MQ_TRY(mq_fetch_shown(err, p->source, &p->shown));
    else
        MQ_TRY(mq_strdup(err, p->source, &p->shown));
    MQ_REQUIRE(o->from || !o->sha256, err, MQ_USAGE,
               "--sha256 belongs to --from; what is pulled by name has a checksum that marque knows");
    if (o->sha256) MQ_TRY(check_sha256(err, o->sha256));
    MQ_REQUIRE(is_url(p->source) || mq_file_exists(p->source), err, MQ_NO_INPUT, "%s: no such regular file",
               p->source);
    p->folder = strndup(p->place, (size_t)(strrchr(p->place, '/') - p->place));
    MQ_REQUIRE(p->folder, err, MQ_NO_MEMORY, "no memory for a name");
    MQ_TRY(mq_make_folder(err, p->folder));
    if (is_url(p->source)) MQ_TRY(mq_format(err, &p->download, "%s.download", p->place));
cleanup:
    return status;
}

/* Whether weights are there, and sound. */
static mq_status is_stored(mq_err *err, const pull *p, bool *stored) {
    mq_err why = {0};
    mq_bundle *bundle = NULL;
    *stored = mq_file_exists(p->place);
    if (!*stored) return MQ_OK;
    const mq_status opened = mq_bundle_open(&why, p->place, &bundle);
    mq_bundle_free(&bundle);
    if (opened != MQ_OK && opened != MQ_BAD_DATA) return mq_fail(err, opened, "%s", why.text);
    *stored = opened == MQ_OK;
    if (!*stored) mq_warn("%s; its weights are pulled anew", why.text);
    return MQ_OK;
}

/* From nothing to the file in the cache, in a folder that is locked. */
static mq_status pull_weights(mq_err *err, pull *p, const char *sha256) {
    mq_status status = MQ_OK;
    mq_bundle *bundle = NULL;
    char md5[MQ_HEX_SIZE];
    const char *file = p->download ? p->download : p->source;
    if (p->download) MQ_TRY(download(err, p, sha256));
    MQ_TRY(digest_source(err, p, file, sha256));
    MQ_TRY(mq_digest_file(err, MQ_MD5, file, md5));
    p->verified = strcmp(md5, p->arch->md5) == 0;
    MQ_TRY(convert(err, p, file, &bundle));
    MQ_TRY(store(err, p, bundle));
    if (!p->verified)
        mq_warn("the origin of these weights is not verified (SHA-256 %s); their licence is their author's",
                p->sha256);
    mq_note("%s: %zu tensors -> %s", p->arch->name, mq_bundle_count(bundle), p->place);
    mq_note("next: marque import PICTURES -o DATA");
cleanup:
    if (p->download && status != MQ_INTERRUPTED) unlink(p->download); /* its .part stays */
    mq_bundle_free(&bundle);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const pull_options *o = call->options;
    pull p = {0};
    mq_lock *lock = NULL;
    bool stored = false;
    if (o->list) {
        MQ_TRY(mq_options_only(err, params, o, "list", "--list"));
        MQ_REQUIRE(!call->arg_count, err, MQ_USAGE, "--list shows all networks, and takes no name");
        list_networks();
        return MQ_OK;
    }
    MQ_REQUIRE(call->arg_count == 1, err, MQ_USAGE, "which network? marque pull --list shows them");
    MQ_TRY(open_pull(err, o, call->args[0], &p));
    MQ_TRY(is_stored(err, &p, &stored));
    if (stored) {
        if (o->from) MQ_TRY(compare_stored(err, &p, o->sha256));
        mq_note("%s is already here: %s (remove that file to pull it anew)", p.arch->name, p.place);
        goto cleanup;
    }
    MQ_TRY(mq_lock_folder(err, p.folder, &lock));
    mq_remove_temporaries(p.folder);
    MQ_TRY(pull_weights(err, &p, o->sha256));
cleanup:
    mq_lock_free(&lock);
    free(p.place);
    free(p.folder);
    free(p.shown);
    free(p.download);
    return status;
}

const mq_command mq_cmd_pull = {
    .name = "pull",
    .usage = "NAME [--from FILE|URL] [--sha256 HEX] | --list",
    .summary = "fetch a network's trained weights into the cache",
    .words = "xception",
    .params = params,
    .options_size = sizeof(pull_options),
    .args_max = 1,
    .examples = "  marque pull --list\n"
                "  marque pull xception\n"
                "  marque pull xception --from ~/models/birds.keras\n",
    .resumable = true,
    .run = run,
};
