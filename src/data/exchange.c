/* exchange.c: how a data set comes to its place. Called by whatever writes one. Owns the folder's lock while
 * it works. Invariant: a folder holds a whole data set, or no dataset.json. */
#include "data/exchange.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "data/shards.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char TEMPORARY[] = ".import.tmp", SCRATCH[] = ".unpack.tmp", DATASET[] = "dataset.json";

struct mq_exchange {
    char *folder, *temporary, *scratch;
    mq_lock *lock;
    bool made;      /* the folder was made for this */
    bool begun;     /* the temporary folder is there */
    bool exchanged; /* the folder holds the new files */
};

/* What a folder holds for us: nothing, a data set, what an import that was cut off left, or other files. */
typedef enum { FOLDER_EMPTY, FOLDER_DATASET, FOLDER_CUT_OFF, FOLDER_OTHER } folder_state;

/* A lock or a scratch folder alone is nothing: they stay behind when a process is killed. */
static mq_status look_at_output(mq_err *err, const char *path, folder_state *state) {
    bool dataset = false, temporary = false, other = false;
    mq_err why = {0};
    mq_names names = {0};
    const mq_status found = mq_names_in(&why, path, &names);
    *state = FOLDER_EMPTY;
    if (found != MQ_OK && found != MQ_NO_INPUT) {
        mq_names_free(&names);
        return mq_fail(err, MQ_CANNOT_CREATE, "cannot be used as output folder: %s", why.text);
    }
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        if (strcmp(name, ".lock") == 0 || strcmp(name, SCRATCH) == 0) continue;
        dataset |= strcmp(name, DATASET) == 0;
        temporary |= strcmp(name, TEMPORARY) == 0;
        other = true;
    }
    mq_names_free(&names);
    *state = dataset ? FOLDER_DATASET : temporary ? FOLDER_CUT_OFF : other ? FOLDER_OTHER : FOLDER_EMPTY;
    return MQ_OK;
}

mq_status mq_exchange_check(mq_err *err, const mq_exchange_plan *plan) {
    mq_status status = MQ_OK;
    folder_state state = FOLDER_EMPTY;
    MQ_TRY(look_at_output(err, plan->folder, &state));
    MQ_REQUIRE(state != FOLDER_OTHER, err, MQ_CANNOT_CREATE,
               "%s: not empty and not a data set of marque; choose another output folder", plan->folder);
    MQ_REQUIRE(state != FOLDER_DATASET || plan->update || plan->look, err, MQ_CANNOT_CREATE,
               "%s: is a data set already; %s", plan->folder, plan->remedy);
    MQ_REQUIRE(state == FOLDER_DATASET || state == FOLDER_CUT_OFF || !plan->update, err, MQ_NO_INPUT,
               "%s: no data set there to update; import without --update", plan->folder);
cleanup:
    return status;
}

mq_status mq_exchange_description(mq_err *err, const char *folder, char **path) {
    mq_status status = MQ_OK;
    static const char *const places[] = {"", TEMPORARY};
    char *place = NULL;
    *path = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places && !*path; i++) {
        free(place);
        place = NULL;
        MQ_TRY(mq_path_join(err, folder, places[i], &place));
        MQ_TRY(mq_path_join(err, place, DATASET, path));
        if (mq_file_exists(*path)) continue;
        free(*path);
        *path = NULL;
    }
cleanup:
    free(place);
    return status;
}

/* Removes what an earlier data set left, dataset.json first. */
static mq_status remove_old(mq_err *err, const char *folder) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *path = NULL;
    MQ_TRY(mq_path_join(err, folder, DATASET, &path));
    MQ_REQUIRE(unlink(path) == 0 || errno == ENOENT, err, MQ_IO, "%s: %s", path, strerror(errno));
    MQ_TRY(mq_names_in(err, folder, &names));
    for (size_t i = 0; i < names.count; i++) {
        if (!mq_shard_is_ours(names.items[i])) continue;
        free(path);
        path = NULL;
        MQ_TRY(mq_path_join(err, folder, names.items[i], &path));
        MQ_REQUIRE(unlink(path) == 0, err, MQ_IO, "%s: %s", path, strerror(errno));
    }
cleanup:
    mq_names_free(&names);
    free(path);
    return status;
}

/* One file of the new data set to its place; both folders are on one file system. */
static mq_status move(mq_err *err, const char *from, const char *to, const char *name) {
    mq_status status = MQ_OK;
    char *old = NULL, *new = NULL;
    MQ_TRY(mq_path_join(err, from, name, &old));
    MQ_TRY(mq_path_join(err, to, name, &new));
    MQ_REQUIRE(rename(old, new) == 0, err, MQ_IO, "%s: cannot be written: %s", new, strerror(errno));
cleanup:
    free(old);
    free(new);
    return status;
}

/* Moves all files of folder from into folder to, dataset.json last. */
static mq_status move_all(mq_err *err, const char *from, const char *to) {
    mq_status status = MQ_OK;
    mq_buf json = mq_buf_init((size_t)1 << 30);
    mq_names names = {0};
    char *old = NULL, *new = NULL;
    MQ_TRY(mq_names_in(err, from, &names));
    for (size_t i = 0; i < names.count; i++)
        if (names.items[i][0] != '.' && strcmp(names.items[i], DATASET) != 0)
            MQ_TRY(move(err, from, to, names.items[i]));
    /* Written anew rather than renamed: that also brings the folder, and so all moves before, to disk. */
    MQ_TRY(mq_path_join(err, from, DATASET, &old));
    MQ_TRY(mq_path_join(err, to, DATASET, &new));
    MQ_TRY(mq_file_read(err, old, &json));
    MQ_TRY(mq_file_write(err, new, json.data, json.size));
cleanup:
    mq_names_free(&names);
    mq_buf_free(&json);
    free(old);
    free(new);
    return status;
}

/* An import that was killed during the exchange has all its files, here or there: the exchange is ended, so
 * that an update never loses the splits it began with. */
static mq_status end_exchange(mq_err *err, const char *output) {
    mq_status status = MQ_OK;
    folder_state state = FOLDER_EMPTY;
    char *temporary = NULL, *whole = NULL;
    MQ_TRY(look_at_output(err, output, &state));
    MQ_TRY(mq_path_join(err, output, TEMPORARY, &temporary));
    MQ_TRY(mq_path_join(err, temporary, DATASET, &whole));
    if (state != FOLDER_CUT_OFF || !mq_file_exists(whole)) goto cleanup;
    MQ_TRY(move_all(err, temporary, output));
    MQ_TRY(mq_remove_folder(err, temporary));
    mq_note("%s: an import that was cut off at its very end is now complete", output);
cleanup:
    free(temporary);
    free(whole);
    return status;
}

/* Takes back the folder that was made and not filled. */
static void remove_empty(const char *folder) {
    mq_err ignored = {0};
    char *lock = NULL;
    if (mq_path_join(&ignored, folder, ".lock", &lock) == MQ_OK) unlink(lock);
    free(lock);
    rmdir(folder);
}

mq_status mq_exchange_open(mq_err *err, const mq_exchange_plan *plan, mq_exchange **exchange) {
    mq_status status = MQ_OK;
    mq_exchange *x = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *x, "an output folder", &x));
    MQ_TRY(mq_strdup(err, plan->folder, &x->folder));
    MQ_TRY(mq_path_join(err, plan->folder, TEMPORARY, &x->temporary));
    MQ_TRY(mq_path_join(err, plan->folder, SCRATCH, &x->scratch));
    x->made = !mq_folder_exists(plan->folder);
    MQ_TRY(mq_make_folder(err, plan->folder));
    MQ_TRY(mq_lock_folder(err, plan->folder, &x->lock));
    MQ_TRY(mq_remove_folder(err, x->scratch)); /* of a process that was killed, as is the next */
    mq_remove_temporaries(plan->folder);
    if (!plan->look) MQ_TRY(end_exchange(err, plan->folder));
    MQ_TRY(mq_exchange_check(err, plan)); /* what there is now, and while nobody else writes */
    *exchange = x;
    x = NULL;
cleanup:
    mq_exchange_free(&x);
    return status;
}

mq_status mq_exchange_room(mq_err *err, const char *output, const char *folder, uint64_t bytes) {
    const uint64_t available = mq_disk_free(folder);
    if (available >= bytes) return MQ_OK;
    return mq_fail(err, MQ_IO,
                   "%s: the data set needs %.1f MB, and %.1f MB are free; make room or choose another place",
                   output, (double)bytes / 1e6, (double)available / 1e6);
}

mq_status mq_exchange_begin(mq_err *err, mq_exchange *x, const char **folder) {
    mq_status status = MQ_OK;
    x->begun = true;
    MQ_TRY(mq_remove_folder(err, x->temporary)); /* of an import that was killed */
    MQ_TRY(mq_make_folder(err, x->temporary));
    *folder = x->temporary;
cleanup:
    return status;
}

const char *mq_exchange_scratch(const mq_exchange *x) {
    return x->scratch;
}

mq_status mq_exchange_commit(mq_err *err, mq_exchange *x) {
    mq_status status = MQ_OK;
    x->begun = false; /* once old files go, what fails leaves the new ones for end_exchange, as a kill does */
    MQ_TRY(remove_old(err, x->folder));
    MQ_TRY(move_all(err, x->temporary, x->folder));
    x->begun = x->exchanged = true;
cleanup:
    return status;
}

void mq_exchange_free(mq_exchange **exchange) {
    mq_exchange *x = *exchange;
    mq_err ignored = {0};
    if (!x) return;
    if (x->begun && mq_remove_folder(&ignored, x->temporary) != MQ_OK) mq_warn("%s", ignored.text);
    if (x->lock && mq_remove_folder(&ignored, x->scratch) != MQ_OK) mq_warn("%s", ignored.text);
    if (x->made && x->lock && !x->exchanged) remove_empty(x->folder); /* without the lock it is another's */
    mq_lock_free(&x->lock);
    free(x->folder);
    free(x->temporary);
    free(x->scratch);
    free(x);
    *exchange = NULL;
}
