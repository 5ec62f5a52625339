/* checkpoint.c: checkpoints written, found and read. Called by the training
 * loop. Invariant: a file under its final name is whole (mq_bundle_write is
 * atomic), and its own digest line proves it. */
#include "train/checkpoint.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { STATE_NUMBERS = 11, TENSORS = 5, NAME_SIZE = 64, FILES_MAX = 4096 };
static const char FORMAT[] = "1", PREFIX[] = "checkpoint-", SUFFIX[] = ".safetensors";

static int64_t bits_of(double value) {
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(int64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void pack_state(const mq_progress_state *s, int64_t out[STATE_NUMBERS]) {
    const int64_t numbers[STATE_NUMBERS] = {s->stage,
                                            s->epoch,
                                            s->epochs_done,
                                            (int64_t)s->position,
                                            (int64_t)s->step,
                                            bits_of(s->loss_sum),
                                            (int64_t)s->right,
                                            s->best_epoch,
                                            bits_of(s->best_top1),
                                            bits_of(s->best_loss),
                                            bits_of(s->seconds)};
    memcpy(out, numbers, sizeof numbers);
}

static void unpack_state(const int64_t *in, mq_progress_state *s) {
    *s = (mq_progress_state){.stage = (uint32_t)in[0],
                             .epoch = (uint32_t)in[1],
                             .epochs_done = (uint32_t)in[2],
                             .position = (uint64_t)in[3],
                             .step = (uint64_t)in[4],
                             .loss_sum = double_of(in[5]),
                             .right = (uint64_t)in[6],
                             .best_epoch = (uint32_t)in[7],
                             .best_top1 = double_of(in[8]),
                             .best_loss = double_of(in[9]),
                             .seconds = double_of(in[10])};
}

/* SHA-256 over all tensors, so that a flipped bit is found. */
static mq_status digest_tensors(mq_err *err, const mq_tensor *tensors, char hex[MQ_HEX_SIZE]) {
    mq_digest *digest = NULL;
    const mq_status status = mq_digest_begin(err, MQ_SHA256, &digest);
    if (status != MQ_OK) return status;
    for (size_t i = 0; i < TENSORS; i++) mq_digest_add(digest, tensors[i].data, tensors[i].bytes);
    mq_digest_end(&digest, hex);
    return hex[0] ? MQ_OK : mq_fail(err, MQ_INTERNAL, "libcrypto cannot compute a digest");
}

/* The tensors of a checkpoint, as views. */
static void list_tensors(const mq_head_trainer *t, const float *best, const int64_t *state,
                         mq_tensor out[TENSORS]) {
    const float *const blocks[] = {t->head->params, t->m, t->v, best};
    static const char *const names[TENSORS] = {"params", "m", "v", "best", "state"};
    for (size_t i = 0; i < TENSORS; i++) {
        const bool last = i == TENSORS - 1;
        const size_t count = last ? STATE_NUMBERS : t->head->count,
                     size = last ? sizeof *state : sizeof(float);
        out[i] = (mq_tensor){.name = names[i],
                             .dtype = last ? MQ_I64 : MQ_F32,
                             .rank = 1,
                             .shape = {count},
                             .data = last ? (const void *)state : blocks[i],
                             .bytes = count * size};
    }
}

/* Names of the checkpoints in folder, newest (highest step) first; names is the caller's array of FILES_MAX.
 */
static mq_status list_files(mq_err *err, const char *folder, char (*names)[NAME_SIZE], size_t *count) {
    *count = 0;
    DIR *dir = opendir(folder);
    if (!dir) return mq_fail(err, MQ_NO_INPUT, "%s: %s", folder, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(dir)) && *count < FILES_MAX;) {
        const size_t n = strlen(entry->d_name), s = strlen(SUFFIX);
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 || n < s || n >= NAME_SIZE) continue;
        if (strcmp(entry->d_name + n - s, SUFFIX) != 0) continue;
        size_t at = (*count)++; /* insertion keeps them sorted: steps are written with leading zeros */
        for (; at > 0 && strcmp(names[at - 1], entry->d_name) < 0; at--)
            memcpy(names[at], names[at - 1], NAME_SIZE);
        memcpy(names[at], entry->d_name, n + 1);
    }
    closedir(dir);
    return MQ_OK;
}

static mq_status remove_old(mq_err *err, const mq_checkpoint_place *place) {
    mq_status status = MQ_OK;
    char(*names)[NAME_SIZE] = NULL;
    size_t count = 0;
    MQ_TRY(mq_calloc(err, FILES_MAX, NAME_SIZE, "a list of checkpoints", &names));
    MQ_TRY(list_files(err, place->folder, names, &count));
    for (size_t i = place->keep; i < count; i++) {
        char *path = NULL;
        MQ_TRY(mq_path_join(err, place->folder, names[i], &path));
        unlink(path);
        free(path);
    }
cleanup:
    free(names);
    return status;
}

mq_status mq_checkpoint_save(mq_err *err, const mq_checkpoint_place *place, const mq_head_trainer *trainer,
                             const float *best, const mq_progress_state *state) {
    mq_status status = MQ_OK;
    char *path = NULL, hex[MQ_HEX_SIZE];
    int64_t numbers[STATE_NUMBERS];
    mq_tensor tensors[TENSORS];
    pack_state(state, numbers);
    list_tensors(trainer, best, numbers, tensors);
    MQ_TRY(digest_tensors(err, tensors, hex));
    const mq_meta meta[] = {{"marque.checkpoint", FORMAT},
                            {"config", place->config},
                            {"environment", place->environment},
                            {"digest", hex}};
    MQ_TRY(mq_format(err, &path, "%s/%s%010" PRIu64 "%s", place->folder, PREFIX, state->step, SUFFIX));
    MQ_TRY(mq_bundle_write(err, path, tensors, TENSORS, meta, sizeof meta / sizeof *meta));
    MQ_TRY(remove_old(err, place));
cleanup:
    free(path);
    return status;
}

static bool meta_is(const mq_bundle *bundle, const char *key, const char *value) {
    const char *found = mq_bundle_meta(bundle, key);
    return found && strcmp(found, value) == 0;
}

/* Where a checkpoint is read to. */
typedef struct {
    mq_head_trainer *trainer;
    float *best;
    mq_progress_state *state;
    bool damaged; /* the file failed for what it holds, so that the one before may serve */
} loaded_state;

static mq_status load_file(mq_err *err, const char *path, const mq_checkpoint_place *place, bool inexact,
                           loaded_state *to) {
    mq_status status = MQ_OK;
    mq_head_trainer *t = to->trainer;
    mq_bundle *bundle = NULL;
    mq_tensor wanted[TENSORS];
    int64_t numbers[STATE_NUMBERS] = {0};
    char hex[MQ_HEX_SIZE];
    to->damaged = true;
    MQ_TRY(mq_bundle_open(err, path, &bundle));
    MQ_REQUIRE(meta_is(bundle, "marque.checkpoint", FORMAT), err, MQ_BAD_DATA,
               "%s: not a checkpoint of this format", path);
    list_tensors(t, to->best, numbers, wanted);
    to->damaged = false;
    MQ_REQUIRE(meta_is(bundle, "config", place->config), err, MQ_BAD_DATA,
               "%s: made with other settings or other data than the run's config.json says", path);
    MQ_REQUIRE(
        inexact || meta_is(bundle, "environment", place->environment), err, MQ_BAD_DATA,
        "%s: made with other threads, processor or library (%s, here %s), so the numbers would differ; "
        "--allow-inexact goes on all the same",
        path, mq_bundle_meta(bundle, "environment"), place->environment);
    to->damaged = true;
    for (size_t i = 0; i < TENSORS; i++) {
        const mq_tensor *found = mq_bundle_find(bundle, wanted[i].name);
        MQ_REQUIRE(found && found->dtype == wanted[i].dtype && found->bytes == wanted[i].bytes, err,
                   MQ_BAD_DATA, "%s: the tensor %s is missing or of another size", path, wanted[i].name);
        wanted[i].data = found->data;
    }
    MQ_TRY(digest_tensors(err, wanted, hex));
    MQ_REQUIRE(meta_is(bundle, "digest", hex), err, MQ_BAD_DATA, "%s: its content fails its digest", path);
    memcpy(t->head->params, wanted[0].data, wanted[0].bytes);
    memcpy(t->m, wanted[1].data, wanted[1].bytes);
    memcpy(t->v, wanted[2].data, wanted[2].bytes);
    memcpy(to->best, wanted[3].data, wanted[3].bytes);
    memcpy(numbers, wanted[4].data, sizeof numbers);
    unpack_state(numbers, to->state);
    t->step = to->state->step;
cleanup:
    mq_bundle_free(&bundle);
    return status;
}

mq_status mq_checkpoint_load(mq_err *err, const mq_checkpoint_place *place, bool inexact,
                             mq_head_trainer *trainer, float *best, mq_progress_state *state) {
    mq_status status = MQ_OK;
    char(*names)[NAME_SIZE] = NULL, *path = NULL;
    size_t count = 0;
    bool loaded = false;
    MQ_TRY(mq_calloc(err, FILES_MAX, NAME_SIZE, "a list of checkpoints", &names));
    MQ_TRY(list_files(err, place->folder, names, &count));
    for (size_t i = 0; i < count && !loaded; i++) {
        mq_err one = {0};
        loaded_state to = {trainer, best, state, false};
        free(path);
        path = NULL;
        MQ_TRY(mq_path_join(err, place->folder, names[i], &path));
        loaded = load_file(&one, path, place, inexact, &to) == MQ_OK;
        MQ_REQUIRE(loaded || to.damaged, err, one.code, "%s", one.text);
        if (!loaded) mq_warn("%s; trying the one before", one.text);
    }
    MQ_REQUIRE(loaded, err, MQ_NO_INPUT, "%s: no sound checkpoint to go on from", place->folder);
cleanup:
    free(names);
    free(path);
    return status;
}
