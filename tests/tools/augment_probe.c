/* augment_probe.c: shows what one change makes of a picture, for comparison with Pillow, TensorFlow and
 * Keras.
 *
 *   augment_probe change FILE FILL NAME [VALUE...] [+ NAME [VALUE...]]...    RGB bytes of a square picture;
 *                                         a name is a row of the table, the values are those it would draw
 *   augment_probe batch FILE SIZE COUNT POLICY   COUNT versions of one picture, RGB bytes
 *   augment_probe time FILE SIZE COUNT POLICY    milliseconds a picture, of decode, resize and augmentation
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/prepare.h"

#include <stdio.h>
#include <string.h>

static const uint8_t WHITE[3] = {255, 255, 255};

static uint32_t number(const char *text) {
    return (uint32_t)strtoul(text, NULL, 10);
}

/* NAME [VALUE...] [+ ...] as changes. */
static bool read_changes(int count, char **args, mq_drawn *drawn) {
    size_t values = 0;
    for (int i = 0; i < count; i++) {
        mq_change *last = drawn->count ? &drawn->changes[drawn->count - 1] : NULL;
        if (i == 0 || strcmp(args[i - 1], "+") == 0) {
            if (drawn->count == MQ_CHANGES_MAX) return false;
            drawn->changes[drawn->count++] = (mq_change){.row = mq_augment_find(args[i])};
            if (drawn->changes[drawn->count - 1].row == SIZE_MAX) return false;
            values = 0;
        } else if (strcmp(args[i], "+") != 0) {
            if (!last || values == MQ_CHANGE_VALUES) return false;
            last->v[values++] = strtod(args[i], NULL);
        }
    }
    return drawn->count > 0;
}

static mq_status show_change(mq_err *err, int count, char **args, const mq_buf *file) {
    mq_status status = MQ_OK;
    mq_pixels pixels = {0};
    mq_drawn drawn = {.draw = {1, 2, 3, 0}, .fill = atoi(args[1])};
    MQ_REQUIRE(read_changes(count - 2, args + 2, &drawn), err, MQ_USAGE, "no such changes");
    MQ_TRY(mq_picture_decode(err, args[0], file->data, file->size, WHITE, &pixels));
    MQ_REQUIRE(pixels.width == pixels.height, err, MQ_USAGE, "%s is not square", args[0]);
    MQ_TRY(mq_augment_apply(err, &drawn, pixels.width, pixels.rgb));
    fwrite(pixels.rgb, 3, (size_t)pixels.width * pixels.height, stdout);
cleanup:
    mq_pixels_free(&pixels);
    return status;
}

/* COUNT versions; written, or timed and told. */
static mq_status show_policy(mq_err *err, char **args, const mq_buf *file, bool time) {
    mq_status status = MQ_OK;
    mq_augment *augment = NULL;
    float *out = NULL;
    uint8_t *rgb = NULL;
    const mq_recipe recipe = mq_recipe_default(number(args[1]), MQ_RANGE_UNIT);
    const uint32_t count = number(args[2]);
    const size_t pixels = (size_t)recipe.imgsz * recipe.imgsz;
    const mq_encoded in = {args[0], file->data, file->size};
    MQ_TRY(mq_augment_parse(err, args[3], &augment));
    MQ_TRY(mq_alloc_aligned(err, pixels, 3 * sizeof *out, "the result", &out));
    MQ_TRY(mq_alloc_aligned(err, pixels, 3, "the result", &rgb));
    const double start = mq_seconds();
    for (uint32_t i = 0; i < count; i++) {
        const mq_variant variant = {.augment = augment, .draw = {1, 0, i, 0}};
        MQ_TRY(mq_prepare(err, &recipe, &in, NULL, &variant, out));
        if (time) continue;
        mq_unprepare(&recipe, out, pixels, rgb);
        fwrite(rgb, 3, pixels, stdout);
    }
    if (time) printf("%.3f\n", (mq_seconds() - start) * 1e3 / count);
cleanup:
    mq_augment_free(&augment);
    free(out);
    free(rgb);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_USAGE;
    mq_buf file = mq_buf_init(SIZE_MAX / 2);
    if (argc > 2) status = mq_file_read(&err, argv[2], &file);
    if (status == MQ_OK) {
        status = MQ_USAGE;
        if (strcmp(argv[1], "change") == 0 && argc > 4) status = show_change(&err, argc - 2, argv + 2, &file);
        if (strcmp(argv[1], "batch") == 0 && argc == 6) status = show_policy(&err, argv + 2, &file, false);
        if (strcmp(argv[1], "time") == 0 && argc == 6) status = show_policy(&err, argv + 2, &file, true);
    }
    if (status != MQ_OK) fprintf(stderr, "%s\n", err.code ? err.text : "wrong arguments");
    mq_buf_free(&file);
    return (int)status;
}
