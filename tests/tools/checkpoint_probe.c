/* checkpoint_probe.c: a run that is nothing but checkpoints, for the tests that kill it at every system call.
 *
 * checkpoint_probe run FOLDER STEPS KEEP   goes on to STEPS, a checkpoint each step; prints each when it is
 * saved checkpoint_probe open FOLDER             prints the steps of the newest sound checkpoint
 *
 * The numbers of step n are a function of n alone, so a resumed run must end with the same bytes; open checks
 * them. A save that fails warns and the run goes on, except the last, as in training. */
#include "base/log.h"
#include "base/mem.h"
#include "train/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 3000 };

static mq_checkpoint_place place_of(const char *folder, size_t keep) {
    return (mq_checkpoint_place){folder, "settings", "here", keep};
}

static void numbers_of(uint64_t step, float w[COUNT]) {
    for (size_t i = 0; i < COUNT; i++) w[i] = (float)step + (float)i / COUNT;
}

/* Where the newest sound checkpoint stands; 0 without any. */
static mq_status find(mq_err *err, const char *folder, uint64_t *step) {
    mq_status status = MQ_OK;
    mq_checkpoint *checkpoint = NULL;
    float w[COUNT], wanted[COUNT];
    mq_err none = {0};
    const mq_checkpoint_place place = place_of(folder, 1);
    const mq_status found = mq_checkpoint_open(&none, &place, false, &checkpoint);
    *step = 0;
    if (found == MQ_NO_INPUT) return MQ_OK;
    MQ_REQUIRE(found == MQ_OK, err, found, "%s", none.text);
    *step = mq_checkpoint_state(checkpoint)->steps_done;
    numbers_of(*step, wanted);
    MQ_TRY(mq_checkpoint_read(err, checkpoint, "w", w, COUNT));
    MQ_REQUIRE(memcmp(w, wanted, sizeof w) == 0, err, MQ_INTERNAL,
               "the numbers are not those that were saved");
cleanup:
    mq_checkpoint_free(&checkpoint);
    return status;
}

static mq_status run(mq_err *err, const char *folder, uint64_t steps, size_t keep) {
    mq_status status = MQ_OK;
    float w[COUNT];
    uint64_t step;
    const mq_checkpoint_place place = place_of(folder, keep);
    MQ_TRY(find(err, folder, &step));
    while (step < steps) {
        mq_err one = {0};
        numbers_of(++step, w);
        const mq_tensor tensor = {"w", MQ_F32, 1, {COUNT}, w, sizeof w};
        const mq_progress_state state = {.step = step, .steps_done = step};
        if (mq_checkpoint_save(&one, &place, &tensor, 1, &state) == MQ_OK) {
            printf("saved %" PRIu64 "\n", step);
            fflush(stdout);
            continue;
        }
        MQ_REQUIRE(step < steps, err, one.code, "%s", one.text);
        mq_warn("%s", one.text);
    }
cleanup:
    return status;
}

static void show(void *user, mq_log_level level, const char *text) {
    (void)user, (void)level;
    fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_USAGE;
    mq_log_set(show, NULL);
    if (argc == 5 && strcmp(argv[1], "run") == 0) {
        status = run(&err, argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    } else if (argc == 3 && strcmp(argv[1], "open") == 0) {
        uint64_t step = 0;
        status = find(&err, argv[2], &step);
        if (status == MQ_OK) printf("%" PRIu64 "\n", step);
    }
    if (status != MQ_OK) fprintf(stderr, "checkpoint_probe: %s\n", err.text);
    return (int)status;
}
