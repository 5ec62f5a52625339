/* main.c: marque-pictures, a process of its own for one picture of a foreign format.
 *
 *   marque-pictures head|pixels NAME < PICTURE | ...
 *
 * marque starts it for each picture, reads its stream (base/foreign_picture.h) and
 * checks all of it again. On failure it writes one sentence on stderr and exits
 * with its mq_status. Invariant: whatever the picture makes it do, it can
 * neither write a file, nor take more than its share of memory and time, nor
 * harm another picture. */
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "pictures/reader.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILE_LIMIT = 1 << 30, BLOCK = 1 << 16 };

/* 179 million pixels take 0.7 GB twice, and the library's own of them. */
static const mq_process_limits limits = {
    .program = "marque-pictures", .memory = (uint64_t)4 << 30, .seconds = 60, .files = 32};

/* A new format is a file and a row here. */
static const mq_reader *const READERS[] = {&mq_reader_tiff, &mq_reader_bmp, &mq_reader_gif, &mq_reader_heif};

mq_status mq_check_size(mq_err *err, const mq_source *in, uint64_t width, uint64_t height) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(width && height, err, MQ_BAD_DATA, "%s: the picture is %ju x %ju pixels, so it has none",
               in->name, (uintmax_t)width, (uintmax_t)height);
    MQ_REQUIRE(
        width <= MQ_SIDE_MAX && height <= MQ_SIDE_MAX && width * height <= MQ_PIXELS_MAX, err, MQ_BAD_DATA,
        "%s: the picture is %ju x %ju pixels; more than %d in all or %d on a side are refused, make it "
        "smaller",
        in->name, (uintmax_t)width, (uintmax_t)height, MQ_PIXELS_MAX, MQ_SIDE_MAX);
cleanup:
    return status;
}

mq_status mq_take_memory(mq_err *err, const mq_source *in, const mq_foreign_head *head, uint8_t **pixels) {
    const mq_status status = mq_check_size(err, in, head->width, head->height);
    if (status != MQ_OK) return status;
    return mq_calloc(err, (size_t)head->width * head->height, head->channels, "the pixels of a picture",
                     pixels);
}

void mq_divide_alpha(uint8_t *rgba, size_t count) {
    for (size_t i = 0; i < count; i++, rgba += 4) {
        const uint32_t alpha = rgba[3];
        for (int c = 0; alpha && alpha < 255 && c < 3; c++) {
            const uint32_t value = (rgba[c] * 255u + alpha / 2) / alpha;
            rgba[c] = (uint8_t)(value > 255 ? 255 : value);
        }
    }
}

static mq_status read_stdin(mq_err *err, mq_buf *file) {
    mq_status status = MQ_OK;
    for (ssize_t n = 1; n > 0; file->size += (size_t)n) {
        MQ_TRY(mq_buf_reserve(err, file, BLOCK));
        n = read(STDIN_FILENO, file->data + file->size, BLOCK);
        MQ_REQUIRE(n >= 0, err, MQ_IO, "marque-pictures: no picture on stdin");
    }
cleanup:
    return status;
}

static mq_status put(mq_err *err, const void *data, size_t size) {
    if (fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0) return MQ_OK;
    return mq_fail(err, MQ_IO, "marque-pictures: its reader has gone");
}

/* The whole life of the process between its arguments and its exit code. */
static mq_status run(mq_err *err, const char *name, bool whole) {
    mq_status status = MQ_OK;
    mq_buf file = mq_buf_init(FILE_LIMIT);
    mq_foreign_head head = {0};
    uint8_t *pixels = NULL;
    const mq_reader *reader = NULL;
    MQ_TRY(mq_limit_process(err, &limits));
    MQ_TRY(read_stdin(err, &file));
    const mq_source in = {name, file.data, file.size};
    for (size_t i = 0; i < sizeof READERS / sizeof *READERS && !reader; i++)
        if (READERS[i]->knows(in.bytes, in.size)) reader = READERS[i];
    MQ_REQUIRE(reader, err, MQ_BAD_DATA, "%s: no picture of a known kind", name);
    MQ_TRY(reader->read(err, &in, &head, whole ? &pixels : NULL));
    MQ_TRY(put(err, &head, sizeof head));
    if (whole) MQ_TRY(put(err, pixels, (size_t)head.width * head.height * head.channels));
cleanup:
    free(pixels);
    mq_buf_free(&file);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    char safe[sizeof err.text];
    const bool whole = argc == 3 && strcmp(argv[1], "pixels") == 0;
    if (!whole && (argc != 3 || strcmp(argv[1], "head") != 0)) {
        fputs("usage: marque-pictures head|pixels NAME < PICTURE | READER (marque starts it)\n", stderr);
        return MQ_USAGE;
    }
    const mq_status status = run(&err, argv[2], whole);
    if (status != MQ_OK) fprintf(stderr, "%s\n", mq_text_safe(err.text, safe, sizeof safe));
    return (int)status;
}
