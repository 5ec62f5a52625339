/* fuzz_inflate.c: streams of zlib and gzip, in memory and from file to file: never more than may be, the same
 * both ways, and of a failure nothing. */
#include "fuzz/arena.h"

#include "data/inflate.h"

#include <string.h>

enum { MOST = 1 << 20 };

static mq_status go_on(mq_err *err, void *user, uint64_t written) {
    (void)err, (void)user;
    fuzz_require(written <= MOST, "more bytes than may be");
    return MQ_OK;
}

static char made[sizeof arena + 2];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    make_arena();
    snprintf(made, sizeof made, "%s/a", arena);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_buf plain = mq_buf_init(MOST), file = mq_buf_init(MOST);
    fuzz_file packed = fuzz_file_open(data, size);
    const mq_inflate_plan plan = {
        .from = packed.path, .to = made, .most = MOST, .room = MOST, .go_on = go_on};
    const bool whole = fuzz_judge(mq_inflate(&err, "a", data, size, &plain), &err);
    fuzz_require(plain.size <= MOST, "more bytes than may be");
    err = (mq_err){0};
    const bool kept = fuzz_judge(mq_inflate_file(&err, &plan), &err);
    fuzz_require(mq_file_exists(made) == kept, "a file of a failure, or none");
    if (kept) { /* of several streams the first is what memory gets */
        fuzz_require(whole && mq_file_read(&err, made, &file) == MQ_OK && file.size >= plain.size &&
                         (!plain.size || memcmp(file.data, plain.data, plain.size) == 0),
                     "other bytes in the file than in memory");
        unlink(made);
    }
    mq_buf_free(&plain);
    mq_buf_free(&file);
    fuzz_file_close(&packed);
    return 0;
}
