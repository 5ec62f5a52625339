/* net_probe.c: runs a trunk on raw numbers for the oracle tests.
 *
 * net_probe WEIGHTS DTYPE SIZE NODE IN OUT    IN: f32 [n, SIZE, SIZE, 3]; OUT: f32 of NODE ("-": features) */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "net/program.h"

#include <stdio.h>
#include <string.h>

static mq_status open_program(mq_err *err, char **arg, size_t batch, const char *node, mq_program **program) {
    mq_status status = MQ_OK;
    mq_bundle *weights = NULL;
    const double start = mq_seconds();
    MQ_TRY(mq_bundle_open(err, arg[0], &weights));
    const double read = mq_seconds();
    const mq_program_plan plan = {.size = sizeof plan,
                                  .arch = mq_arch_find("xception"),
                                  .weights = weights,
                                  .prefix = "",
                                  .imgsz = (uint32_t)atoi(arg[2]),
                                  .batch = batch,
                                  .dtype = strcmp(arg[1], "bf16") == 0 ? MQ_BF16 : MQ_F32,
                                  .output = node};
    MQ_TRY(mq_program_create(err, &plan, program));
    fprintf(stderr, "%s, %.1f MB, weights read in %.0f ms, made in %.0f ms\n", mq_program_key(*program),
            (double)mq_program_memory(*program) / 1e6, 1e3 * (read - start), 1e3 * (mq_seconds() - read));
cleanup:
    mq_bundle_free(&weights);
    return status;
}

/* arg: WEIGHTS DTYPE SIZE NODE IN OUT */
static mq_status run_file(mq_err *err, char **arg) {
    mq_status status = MQ_OK;
    mq_buf in = mq_buf_init(SIZE_MAX / 2);
    mq_program *program = NULL;
    float *out = NULL;
    const size_t side = (size_t)atoi(arg[2]), picture = side * side * 3 * sizeof(float);
    MQ_TRY(open_program(err, arg, 16, strcmp(arg[3], "-") == 0 ? NULL : arg[3], &program));
    MQ_TRY(mq_file_read(err, arg[4], &in));
    const mq_shape shape = mq_program_output(program);
    const size_t count = in.size / picture, numbers = count * shape.h * shape.w * shape.c;
    MQ_REQUIRE(count * picture == in.size, err, MQ_BAD_DATA, "%s: not a whole number of pictures", arg[4]);
    MQ_TRY(mq_alloc_aligned(err, numbers, sizeof *out, "results", &out));
    MQ_TRY(mq_program_run(err, program, (const float *)(const void *)in.data, count, out));
    MQ_TRY(mq_file_write(err, arg[5], out, numbers * sizeof *out));
cleanup:
    mq_program_free(&program);
    mq_buf_free(&in);
    free(out);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_USAGE;
    mq_par_set_threads(0);
    if (argc == 7)
        status = run_file(&err, argv + 1);
    else
        fprintf(stderr, "usage: net_probe WEIGHTS DTYPE SIZE NODE IN OUT\n");
    if (err.code != MQ_OK) fprintf(stderr, "%s\n", err.text);
    return (int)status;
}
