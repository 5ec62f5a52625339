/* augment_probe.c: shows what changes make of a picture and what policies draw, for comparison with Pillow,
 * TensorFlow, Keras and torchvision.
 *
 *   augment_probe change FILE FILL NAME [VALUE...] [+ NAME [VALUE...]]...    RGB bytes of a square picture;
 *                                         a name is a row of the table, the values are those it would draw
 *   augment_probe batch FILE SIZE COUNT POLICY [X1 Y1 X2 Y2]   COUNT versions of one picture, RGB bytes; with
 *                                         the box of its object
 *   augment_probe time FILE SIZE COUNT POLICY    milliseconds a picture, of decode, resize and augmentation
 *   augment_probe draw COUNT POLICY       a line for each of the same versions: whether it is mirrored, then
 *                                         "|", name and values of each change
 *   augment_probe window WIDTH HEIGHT COUNT POLICY [X1 Y1 X2 Y2]   a line for each: x1 y1 x2 y2 of the window
 *                                         that a picture of that size is cut to, "-" where none is drawn
 *   augment_probe mix FILE SIDE MIXUP CUTMIX     of a batch of pixels (f32 [n, SIDE, SIDE, 3]) the mq_mix_row
 * [n] drawn for those alphas, and the pixels mixed, f32
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/mix.h"
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

/* What version i of a picture is drawn for. */
static mq_draw draw_of(uint32_t i) {
    return (mq_draw){.seed = 1, .sample = i};
}

/* The box that four words name; NULL without words. */
static const mq_box *read_box(char **words, mq_box *box) {
    if (!words) return NULL;
    int32_t sides[4];
    for (size_t i = 0; i < 4; i++) sides[i] = (int32_t)strtol(words[i], NULL, 10);
    *box = (mq_box){sides[0], sides[1], sides[2], sides[3]};
    return box;
}

/* COUNT versions; written, or timed and told. */
static mq_status show_policy(mq_err *err, char **args, char **box_words, const mq_buf *file, bool time) {
    mq_status status = MQ_OK;
    mq_augment *augment = NULL;
    mq_box given;
    float *out = NULL;
    uint8_t *rgb = NULL;
    const mq_box *box = read_box(box_words, &given);
    const mq_recipe recipe = mq_recipe_default(number(args[1]), MQ_RANGE_UNIT);
    const uint32_t count = number(args[2]);
    const size_t pixels = (size_t)recipe.imgsz * recipe.imgsz;
    const mq_encoded in = {args[0], file->data, file->size};
    MQ_TRY(mq_augment_parse(err, args[3], &augment));
    MQ_TRY(mq_alloc_aligned(err, pixels, 3 * sizeof *out, "the result", &out));
    MQ_TRY(mq_alloc_aligned(err, pixels, 3, "the result", &rgb));
    const double start = mq_seconds();
    for (uint32_t i = 0; i < count; i++) {
        mq_variant variant = {.augment = augment, .draw = draw_of(i)};
        variant.flip = mq_augment_flip(augment, &variant.draw);
        MQ_TRY(mq_prepare(err, &recipe, &in, box, &variant, out));
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

static mq_status show_draws(mq_err *err, char **args) {
    mq_status status = MQ_OK;
    mq_augment *augment = NULL;
    MQ_TRY(mq_augment_parse(err, args[1], &augment));
    for (uint32_t i = 0; i < number(args[0]); i++) {
        const mq_draw draw = draw_of(i);
        mq_drawn drawn;
        mq_augment_draw(augment, &draw, &drawn);
        printf("%d", mq_augment_flip(augment, &draw));
        for (size_t k = 0; k < drawn.count; k++) {
            mq_augment_entry row;
            if (!mq_augment_row(drawn.changes[k].row, &row)) continue;
            printf("|%s", row.name);
            for (size_t v = 0; v < MQ_CHANGE_VALUES; v++) printf(" %.17g", drawn.changes[k].v[v]);
        }
        puts("");
    }
cleanup:
    mq_augment_free(&augment);
    return status;
}

/* As mq_prepare asks for them, of a recipe that cuts to boxes without margin. */
static mq_status show_windows(mq_err *err, char **args, char **box_words) {
    mq_status status = MQ_OK;
    mq_augment *augment = NULL;
    mq_box box, window;
    mq_scene scene = {.width = number(args[0]), .height = number(args[1])};
    scene.object = read_box(box_words, &box);
    scene.tight = scene.object;
    scene.seen = scene.object ? box : (mq_box){0, 0, (int32_t)scene.width, (int32_t)scene.height};
    MQ_TRY(mq_augment_parse(err, args[3], &augment));
    for (uint32_t i = 0; i < number(args[2]); i++) {
        const mq_draw draw = draw_of(i);
        if (mq_augment_window(augment, &draw, &scene, &window))
            printf("%d %d %d %d\n", window.x1, window.y1, window.x2, window.y2);
        else
            puts("-");
    }
cleanup:
    mq_augment_free(&augment);
    return status;
}

static mq_status show_mix(mq_err *err, char **args, const mq_buf *file) {
    mq_status status = MQ_OK;
    const uint32_t side = number(args[1]);
    const mq_mix_rule rule = {strtod(args[2], NULL), strtod(args[3], NULL), 1};
    const size_t n = file->size / sizeof(float) / 3 / side / side;
    mq_mix_row *rows = NULL;
    float *pixels = NULL, *out = NULL; /* pixels: a copy that lies at an address fit for numbers */
    MQ_TRY(mq_calloc(err, n, sizeof *rows, "a batch", &rows));
    MQ_TRY(mq_calloc(err, 1, file->size, "a batch", &pixels));
    MQ_TRY(mq_calloc(err, 1, file->size, "a batch", &out));
    memcpy(pixels, file->data, file->size);
    MQ_REQUIRE(mq_mix_draw(&rule, &(mq_mix_place){.seed = 7}, side, rows, n), err, MQ_INTERNAL, "not mixed");
    mq_mix_pixels(out, pixels, rows, n, side);
    fwrite(rows, sizeof *rows, n, stdout);
    fwrite(out, 1, file->size, stdout);
cleanup:
    free(rows);
    free(pixels);
    free(out);
    return status;
}

static mq_status show(mq_err *err, int count, char **args, const mq_buf *file) {
    char **box = count == 9 ? args + 5 : NULL;
    const bool boxed = count == 5 || count == 9;
    if (strcmp(args[0], "change") == 0 && count > 3) return show_change(err, count - 1, args + 1, file);
    if (strcmp(args[0], "batch") == 0 && boxed) return show_policy(err, args + 1, box, file, false);
    if (strcmp(args[0], "time") == 0 && count == 5) return show_policy(err, args + 1, NULL, file, true);
    if (strcmp(args[0], "mix") == 0 && count == 5) return show_mix(err, args + 1, file);
    if (strcmp(args[0], "draw") == 0 && count == 3) return show_draws(err, args + 1);
    if (strcmp(args[0], "window") == 0 && boxed) return show_windows(err, args + 1, box);
    return mq_fail(err, MQ_USAGE, "wrong arguments");
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_OK;
    mq_buf file = mq_buf_init(SIZE_MAX / 2);
    const bool pictured = argc > 2 && strcmp(argv[1], "draw") != 0 && strcmp(argv[1], "window") != 0;
    if (argc < 3) status = mq_fail(&err, MQ_USAGE, "wrong arguments");
    if (pictured) status = mq_file_read(&err, argv[2], &file);
    if (status == MQ_OK) status = show(&err, argc - 1, argv + 1, &file);
    if (status != MQ_OK) fprintf(stderr, "%s\n", err.text);
    mq_buf_free(&file);
    return (int)status;
}
