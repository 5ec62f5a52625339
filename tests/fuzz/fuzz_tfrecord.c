/* fuzz_tfrecord.c: a file of records, and each of them as a tf.train.Example. Random bytes seldom have right
 * checksums, so all of the input is also taken as one Example. */
#include "fuzz/fuzz.h"

#include "data/example.h"
#include "data/tfrecord.h"

static void inside(mq_bytes part, const uint8_t *data, size_t size) {
    fuzz_require(!part.size || (part.data >= data && part.data + part.size <= data + size),
                 "a feature outside its record");
}

static void decode(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_example example = {0};
    if (!fuzz_judge(mq_example_decode(&err, "a", data, size, &example), &err)) return;
    inside(example.encoded, data, size);
    inside(example.filename, data, size);
    inside(example.text, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_tfrecord *reader = NULL;
    fuzz_file file = fuzz_file_open(data, size);
    decode(data, size);
    if (fuzz_judge(mq_tfrecord_open(&err, file.path, &reader), &err)) {
        const uint8_t *record = NULL;
        size_t bytes = 0;
        while (fuzz_judge(mq_tfrecord_next(&err, reader, &record, &bytes), &err) && record) {
            fuzz_require(mq_tfrecord_offset(reader) <= size, "a record behind the end");
            decode(record, bytes);
        }
    }
    mq_tfrecord_free(&reader);
    fuzz_file_close(&file);
    return 0;
}
