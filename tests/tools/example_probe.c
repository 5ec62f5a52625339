/* example_probe.c: prints what marque reads from TFRecord files, one JSON line
 * a record, for tests/oracle/tfrecord.py.
 *
 *     example_probe FILE...     what the decoder sees
 *     example_probe -d DATA     every picture of a data set, in the order of train, val, test */
#include "base/digest.h"
#include "base/json.h"
#include "data/dataset.h"
#include "data/example.h"
#include "data/tfrecord.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *hex_of(const void *bytes, size_t size) {
    char *hex = malloc(2 * size + 1);
    if (hex) mq_hex(bytes, size, hex);
    return hex;
}

static mq_status print_example(mq_err *err, const mq_example *e) {
    mq_status status = MQ_OK;
    char sum[MQ_HEX_SIZE], *text = hex_of(e->text.data, e->text.size);
    char *name = hex_of(e->filename.data, e->filename.size);
    MQ_TRY(mq_sha256_hex(err, e->encoded.size ? e->encoded.data : (const uint8_t *)"", e->encoded.size, sum));
    printf("{\"width\": %lld, \"height\": %lld, \"channels\": %lld, \"label\": %lld, \"format\": \"%.*s\", "
           "\"colorspace\": \"%.*s\", \"text\": \"%s\", \"filename\": \"%s\", \"encoded\": \"%s\", \"box\": ",
           (long long)e->width, (long long)e->height, (long long)e->channels, (long long)e->label,
           (int)e->format.size, e->format.size ? (const char *)e->format.data : "", (int)e->colorspace.size,
           e->colorspace.size ? (const char *)e->colorspace.data : "", text ? text : "", name ? name : "",
           sum);
    if (e->has_box)
        printf("[%.9g, %.9g, %.9g, %.9g]}\n", (double)e->box[0], (double)e->box[1], (double)e->box[2],
               (double)e->box[3]);
    else
        printf("null}\n");
cleanup:
    free(text);
    free(name);
    return status;
}

static mq_status print_file(mq_err *err, const char *path) {
    mq_status status = MQ_OK;
    mq_tfrecord *reader = NULL;
    const uint8_t *data = NULL;
    size_t size = 0;
    MQ_TRY(mq_tfrecord_open(err, path, &reader));
    for (;;) {
        mq_example example;
        MQ_TRY(mq_tfrecord_next(err, reader, &data, &size));
        if (!data) break;
        MQ_TRY(mq_example_decode(err, path, data, size, &example));
        MQ_TRY(print_example(err, &example));
    }
cleanup:
    mq_tfrecord_free(&reader);
    return status;
}

static mq_status print_dataset(mq_err *err, const char *folder) {
    mq_status status = MQ_OK;
    mq_dataset *d = NULL;
    mq_buf record = mq_buf_init((size_t)1 << 29);
    MQ_TRY(mq_dataset_open(err, folder, &d));
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        for (size_t i = 0; i < mq_dataset_count(d, split); i++) {
            mq_sample s;
            char sum[MQ_HEX_SIZE];
            MQ_TRY(mq_dataset_read(err, d, split, i, &record, &s));
            MQ_TRY(mq_sha256_hex(err, s.bytes, s.size, sum));
            char *name = hex_of(s.name, strlen(s.name));
            printf("{\"split\": \"%s\", \"label\": %u, \"name\": \"%s\", \"encoded\": \"%s\", \"box\": ",
                   mq_split_name(split), s.label, name ? name : "", sum);
            free(name);
            if (s.has_box)
                printf("[%d, %d, %d, %d]}\n", s.box.x1, s.box.y1, s.box.x2, s.box.y2);
            else
                printf("null}\n");
        }
    }
cleanup:
    mq_buf_free(&record);
    mq_dataset_free(&d);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_OK;
    if (argc == 3 && strcmp(argv[1], "-d") == 0) {
        status = print_dataset(&err, argv[2]);
    } else {
        for (int i = 1; i < argc && status == MQ_OK; i++) status = print_file(&err, argv[i]);
    }
    if (status != MQ_OK) fprintf(stderr, "example_probe: %s\n", err.text);
    return (int)status;
}
