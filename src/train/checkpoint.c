/* checkpoint.c: checkpoints written, found and read. Called by the training
 * loop, which holds the run's lock. Invariant: a file under its final name was
 * whole when it was written (mq_bundle_write is atomic), its own hash proves
 * that it still is, and an older one goes only after a newer one is safe. */
#include "train/checkpoint.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { STATE_NUMBERS = 15, TEXTS = 3, NAME_SIZE = 64 };
static const char FORMAT[] = "3", STATE[] = "state", NAME[] = "checkpoint-%010" PRIu64 ".safetensors";
static const char *const keys[TEXTS] = {"marque.checkpoint", "config", "environment"};

struct mq_checkpoint {
    mq_bundle *bundle;
    mq_progress_state state;
};

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
                                            (int64_t)s->steps_done,
                                            bits_of(s->loss_sum),
                                            (int64_t)s->right,
                                            s->best_epoch,
                                            bits_of(s->best_top1),
                                            bits_of(s->best_top5),
                                            bits_of(s->best_loss),
                                            bits_of(s->seconds),
                                            (int64_t)s->skipped,
                                            (int64_t)s->best_pictures};
    memcpy(out, numbers, sizeof numbers);
}

static mq_progress_state unpack_state(const void *data) {
    int64_t in[STATE_NUMBERS];
    memcpy(in, data, sizeof in);
    return (mq_progress_state){.stage = (uint32_t)in[0],
                               .epoch = (uint32_t)in[1],
                               .epochs_done = (uint32_t)in[2],
                               .position = (uint64_t)in[3],
                               .step = (uint64_t)in[4],
                               .steps_done = (uint64_t)in[5],
                               .loss_sum = double_of(in[6]),
                               .right = (uint64_t)in[7],
                               .best_epoch = (uint32_t)in[8],
                               .best_top1 = double_of(in[9]),
                               .best_top5 = double_of(in[10]),
                               .best_loss = double_of(in[11]),
                               .seconds = double_of(in[12]),
                               .skipped = (uint64_t)in[13],
                               .best_pictures = (uint64_t)in[14]};
}

static int by_name(const void *left, const void *right) {
    return strcmp(((const mq_tensor *)left)->name, ((const mq_tensor *)right)->name);
}

/* The hash of all that a checkpoint says, so that a flipped bit is found wherever it is: the texts, and each
 * tensor's name, type, shape and numbers. Sorts the tensors: their order in the file is not the caller's. */
static mq_status hash_all(mq_err *err, const char *const texts[TEXTS], mq_tensor *tensors, size_t count,
                          char hex[MQ_HASH_HEX_SIZE]) {
    mq_status status = MQ_OK;
    mq_hash *hash = NULL;
    qsort(tensors, count, sizeof *tensors, by_name);
    MQ_TRY(mq_hash_begin(err, &hash));
    for (size_t i = 0; i < TEXTS; i++) mq_hash_add(hash, texts[i], strlen(texts[i]) + 1);
    for (size_t i = 0; i < count; i++) {
        const mq_tensor *t = &tensors[i];
        const char *dtype = mq_dtype_name(t->dtype);
        mq_hash_add(hash, t->name, strlen(t->name) + 1);
        mq_hash_add(hash, dtype, strlen(dtype) + 1);
        mq_hash_add(hash, &t->rank, sizeof t->rank);
        mq_hash_add(hash, t->shape, t->rank * sizeof *t->shape);
        mq_hash_add(hash, t->data, t->bytes);
    }
    mq_hash_end(&hash, hex);
cleanup:
    return status;
}

static int newest_first(const void *left, const void *right) {
    const uint64_t l = *(const uint64_t *)left, r = *(const uint64_t *)right;
    return (l < r) - (l > r);
}

/* The steps of a checkpoint's name, which must be spelt exactly as we write it. */
static bool read_name(const char *name, uint64_t *steps) {
    char again[NAME_SIZE];
    if (sscanf(name, "checkpoint-%" SCNu64, steps) != 1) return false;
    snprintf(again, sizeof again, NAME, *steps);
    return strcmp(name, again) == 0;
}

/* The steps of the checkpoints in folder, newest first, in *steps; the caller's, for free(). */
static mq_status list_files(mq_err *err, const char *folder, uint64_t **steps, size_t *count) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    *count = 0;
    MQ_TRY(mq_names_in(err, folder, &names));
    MQ_TRY(mq_calloc(err, names.count, sizeof **steps, "checkpoints", steps));
    for (size_t i = 0; i < names.count; i++) *count += read_name(names.items[i], &(*steps)[*count]);
    if (*count) qsort(*steps, *count, sizeof **steps, newest_first);
cleanup:
    mq_names_free(&names);
    return status;
}

static mq_status path_of(mq_err *err, const mq_checkpoint_place *place, uint64_t steps, char **path) {
    char name[NAME_SIZE];
    snprintf(name, sizeof name, NAME, steps);
    free(*path);
    *path = NULL;
    return mq_path_join(err, place->folder, name, path);
}

/* Removes what the checkpoint of `saved` steps makes useless: those of later steps, which were damaged, and
 * the oldest beyond keep. What cannot be removed costs only space; the next save tries again. */
static void remove_useless(const mq_checkpoint_place *place, uint64_t saved) {
    mq_err err = {0};
    uint64_t *steps = NULL;
    char *path = NULL;
    size_t count = 0, kept = 0;
    if (list_files(&err, place->folder, &steps, &count) != MQ_OK) count = 0;
    for (size_t i = 0; i < count; i++) {
        if (steps[i] == saved || (steps[i] < saved && kept < place->keep)) {
            kept++;
        } else if (path_of(&err, place, steps[i], &path) == MQ_OK) {
            unlink(path);
        }
    }
    free(steps);
    free(path);
}

mq_status mq_checkpoint_save(mq_err *err, const mq_checkpoint_place *place, const mq_tensor *tensors,
                             size_t count, const mq_progress_state *state) {
    mq_status status = MQ_OK;
    char *path = NULL, hex[MQ_HASH_HEX_SIZE];
    mq_tensor *all = NULL;
    int64_t numbers[STATE_NUMBERS];
    const char *const texts[TEXTS] = {FORMAT, place->config, place->environment};
    pack_state(state, numbers);
    mq_remove_temporaries(place->folder);
    MQ_TRY(mq_calloc(err, count + 1, sizeof *all, "a checkpoint", &all));
    for (size_t i = 0; i < count; i++) all[i] = tensors[i];
    all[count] = (mq_tensor){STATE, MQ_I64, 1, {STATE_NUMBERS}, numbers, sizeof numbers};
    MQ_TRY(hash_all(err, texts, all, count + 1, hex));
    const mq_meta meta[] = {{keys[0], texts[0]}, {keys[1], texts[1]}, {keys[2], texts[2]}, {"hash", hex}};
    MQ_TRY(path_of(err, place, state->steps_done, &path));
    MQ_TRY(mq_bundle_write(err, path, all, count + 1, meta, sizeof meta / sizeof *meta));
    remove_useless(place, state->steps_done);
cleanup:
    free(all);
    free(path);
    return status;
}

void mq_checkpoint_free(mq_checkpoint **checkpoint) {
    if (!*checkpoint) return;
    mq_bundle_free(&(*checkpoint)->bundle);
    free(*checkpoint);
    *checkpoint = NULL;
}

/* Checks that everything in the bundle is as it was written. */
static mq_status check_hash(mq_err *err, const mq_bundle *bundle) {
    mq_status status = MQ_OK;
    const char *path = mq_bundle_path(bundle), *hash = mq_bundle_meta(bundle, "hash"), *texts[TEXTS];
    const size_t count = mq_bundle_count(bundle);
    mq_tensor *all = NULL;
    char hex[MQ_HASH_HEX_SIZE];
    for (size_t i = 0; i < TEXTS; i++) texts[i] = mq_bundle_meta(bundle, keys[i]);
    MQ_REQUIRE(texts[0] && texts[1] && texts[2] && hash && strcmp(texts[0], FORMAT) == 0, err, MQ_BAD_DATA,
               "%s: not a checkpoint of this version's format", path);
    MQ_TRY(mq_calloc(err, count, sizeof *all, "a checkpoint", &all));
    for (size_t i = 0; i < count; i++) all[i] = *mq_bundle_at(bundle, i);
    MQ_TRY(hash_all(err, texts, all, count, hex));
    MQ_REQUIRE(strcmp(hash, hex) == 0, err, MQ_BAD_DATA, "%s: its content fails its hash", path);
cleanup:
    free(all);
    return status;
}

/* Opens one file. *sound stays false when it failed for what it holds, so that the one before may serve. */
static mq_status open_file(mq_err *err, const char *path, mq_checkpoint **checkpoint, bool *sound) {
    mq_status status = MQ_OK;
    mq_checkpoint *c = NULL;
    *sound = false;
    MQ_TRY(mq_calloc(err, 1, sizeof *c, "a checkpoint", &c));
    MQ_TRY(mq_bundle_open(err, path, &c->bundle));
    MQ_TRY(check_hash(err, c->bundle));
    const mq_tensor *state = mq_bundle_find(c->bundle, STATE);
    MQ_REQUIRE(state && state->dtype == MQ_I64 && state->bytes == STATE_NUMBERS * sizeof(int64_t), err,
               MQ_BAD_DATA, "%s: does not say where the run stood", path);
    c->state = unpack_state(state->data);
    *sound = true;
    *checkpoint = c;
    c = NULL;
cleanup:
    mq_checkpoint_free(&c);
    return status;
}

/* The newest sound file; the damaged ones before it are told of. */
static mq_status find_sound(mq_err *err, const mq_checkpoint_place *place, mq_checkpoint **checkpoint) {
    mq_status status = MQ_OK;
    uint64_t *steps = NULL;
    char *path = NULL;
    size_t count = 0, i = 0;
    bool sound = false;
    MQ_TRY(list_files(err, place->folder, &steps, &count));
    MQ_REQUIRE(count, err, MQ_NO_INPUT, "%s: no checkpoint to go on from", place->folder);
    for (; i < count && !sound; i++) {
        mq_err one = {0};
        MQ_TRY(path_of(err, place, steps[i], &path));
        const mq_status opened = open_file(&one, path, checkpoint, &sound);
        /* What only could not be read may be sound, and the next save would remove it. */
        MQ_REQUIRE(opened == MQ_OK || opened == MQ_BAD_DATA, err, opened,
                   "%s; where it stays so, move the file away to go on from an earlier checkpoint", one.text);
        if (!sound) mq_warn("%s; it is passed over", one.text);
    }
    MQ_REQUIRE(sound, err, MQ_BAD_DATA,
               "%s: none of its %zu checkpoints is sound; put a copy back, or remove them to train from the "
               "beginning",
               place->folder, count);
    if (i > 1) mq_warn("%s: the run goes on from this checkpoint instead", path);
cleanup:
    free(steps);
    free(path);
    return status;
}

mq_status mq_checkpoint_open(mq_err *err, const mq_checkpoint_place *place, bool inexact,
                             mq_checkpoint **checkpoint) {
    mq_status status = MQ_OK;
    mq_checkpoint *c = NULL;
    mq_remove_temporaries(place->folder);
    MQ_TRY(find_sound(err, place, &c));
    const char *path = mq_bundle_path(c->bundle), *config = mq_bundle_meta(c->bundle, keys[1]),
               *environment = mq_bundle_meta(c->bundle, keys[2]);
    MQ_REQUIRE(
        strcmp(config, place->config) == 0, err, MQ_BAD_DATA,
        "%s: made with other settings or other data than the run has now: the weights, the data set or the "
        "file of --class-weights has changed; put it back, or begin another run",
        path);
    MQ_REQUIRE(inexact || strcmp(environment, place->environment) == 0, err, MQ_BAD_DATA,
               "%s: made with other threads, processor, library or version of marque (%s, here %s), so the "
               "numbers would differ; --allow-inexact goes on all the same",
               path, environment, place->environment);
    *checkpoint = c;
    c = NULL;
cleanup:
    mq_checkpoint_free(&c);
    return status;
}

const mq_progress_state *mq_checkpoint_state(const mq_checkpoint *checkpoint) {
    return &checkpoint->state;
}

bool mq_checkpoint_has(const mq_checkpoint *checkpoint, const char *name) {
    return mq_bundle_find(checkpoint->bundle, name) != NULL;
}

mq_status mq_checkpoint_read(mq_err *err, const mq_checkpoint *checkpoint, const char *name, float *data,
                             size_t count) {
    const mq_tensor *found = mq_bundle_find(checkpoint->bundle, name);
    const char *path = mq_bundle_path(checkpoint->bundle);
    if (!found) return mq_fail(err, MQ_BAD_DATA, "%s: the tensor %s is missing", path, name);
    if (found->dtype != MQ_F32 || found->bytes / sizeof *data != count)
        return mq_fail(err, MQ_BAD_DATA, "%s: the tensor %s is not of the %zu numbers it should have", path,
                       name, count);
    if (count) memcpy(data, found->data, found->bytes);
    return MQ_OK;
}
