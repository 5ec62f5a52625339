/* fuzz_keras.c: weights files of others, before a library sees them and after: HDF5's global heaps are
 * guarded so that all of them can be walked, and a .keras file's members come out whole or not at all. HDF5
 * itself is not run: its own faults are why marque-convert is a process of its own. */
#include "fuzz/fuzz.h"

#include "convert/archive.h"
#include "convert/expected.h"
#include "convert/heaps.h"

#include <string.h>

enum { MOST = 1 << 20 };

static void guard(const uint8_t *data, size_t size) {
    mq_err err = {0};
    uint8_t *image = malloc(size + 1), *again = malloc(size + 1); /* exactly so long, but for none at all */
    fuzz_require(image && again, "no memory");
    memcpy(image, data, size);
    if (fuzz_judge(mq_guard_heaps(&err, "a", image, size), &err)) {
        memcpy(again, image, size);
        fuzz_require(mq_guard_heaps(&err, "a", again, size) == MQ_OK && memcmp(image, again, size) == 0,
                     "heaps that are guarded still have to be");
    }
    free(image);
    free(again);
}

static void unpack(const uint8_t *data, size_t size) {
    static const char *const MEMBERS[] = {"metadata.json", "config.json", "model.weights.h5"};
    mq_err err = {0};
    mq_archive *archive = NULL;
    fuzz_file file = fuzz_file_open(data, size);
    const bool open = fuzz_judge(mq_archive_open(&err, file.path, &archive), &err);
    for (size_t i = 0; open && i < sizeof MEMBERS / sizeof *MEMBERS; i++) {
        mq_buf member = mq_buf_init(MOST);
        bool has = false;
        err = (mq_err){0};
        if (fuzz_judge(mq_archive_read(&err, archive, MEMBERS[i], &member, &has), &err))
            fuzz_require(has || !member.size, "bytes of a member that is not there");
        fuzz_require(member.size <= MOST, "more bytes than may be");
        mq_buf_free(&member);
    }
    mq_archive_free(&archive);
    fuzz_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_expected expected = {0};
    guard(data, size);
    unpack(data, size);
    fuzz_judge(mq_expected_parse(&err, data, size, &expected), &err);
    mq_expected_free(&expected);
    return 0;
}
