/* common.c: choices that several commands make alike. */
#include "cli/common.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/text.h"
#include "infer/model.h"
#include "net/program.h"
#include "net/weights.h"

#include <stdlib.h>
#include <string.h>

mq_status mq_choose_dtype(mq_err *err, int choice, mq_dtype *dtype) {
    enum { AUTO, F32 };
    *dtype = choice == AUTO ? mq_dtype_auto() : choice == F32 ? MQ_F32 : MQ_BF16;
    if (*dtype == MQ_BF16 && mq_dtype_auto() != MQ_BF16)
        return mq_fail(
            err, MQ_UNAVAILABLE,
            "--dtype bf16 needs a processor with avx512_bf16 or better, this one has %s; use --dtype f32",
            mq_dnn_isa());
    return MQ_OK;
}

mq_status mq_find_network(mq_err *err, const char *model, const mq_arch **arch, mq_bundle **weights) {
    mq_status status = MQ_OK;
    mq_err missing = {0};
    mq_model_card card = {0};
    char *path = NULL;
    *arch = mq_arch_find(model);
    if (*arch) return MQ_OK;
    /* What is written as a path was meant as one. */
    const bool is_path = strchr(model, '/') || mq_text_ends(model, ".safetensors");
    MQ_REQUIRE(mq_model_find(&missing, model, &path) == MQ_OK, err, is_path ? MQ_NO_INPUT : MQ_USAGE,
               "--model %.60s is no network that marque knows (marque pull --list) and no model or run",
               model);
    MQ_TRY(mq_bundle_open(err, path, weights));
    MQ_TRY(mq_model_card_read(err, *weights, &card));
    MQ_REQUIRE(
        !card.quantised, err, MQ_USAGE,
        "--model %s: an 8-bit model is for answers alone (eval, predict); take the one it was exported from",
        model);
    *arch = card.arch;
    mq_bundle_narrow(*weights, MQ_TRUNK_PREFIX);
cleanup:
    mq_model_card_free(&card);
    free(path);
    return status;
}

mq_status mq_open_weights(mq_err *err, const mq_arch *arch, mq_bundle **weights) {
    mq_status status = MQ_OK;
    mq_err why = {0};
    char *path = NULL;
    if (*weights) return MQ_OK;
    MQ_TRY(mq_weights_path(err, arch->name, &path));
    const mq_status opened = mq_bundle_open(&why, path, weights);
    MQ_REQUIRE(opened == MQ_OK, err, opened, "%s%s%s", why.text,
               opened == MQ_BAD_DATA ? "; fetch them again: marque pull " : "",
               opened == MQ_BAD_DATA ? arch->name : "");
cleanup:
    free(path);
    return status;
}

mq_status mq_check_imgsz(mq_err *err, const mq_arch *arch, int64_t imgsz) {
    if (imgsz >= arch->imgsz_min) return MQ_OK;
    return mq_fail(err, MQ_USAGE, "--imgsz %lld is too small for %s; it takes %u and more", (long long)imgsz,
                   arch->name, arch->imgsz_min);
}

static void nothing(void *ctx, size_t begin, size_t end) {
    (void)ctx, (void)begin, (void)end;
}

size_t mq_choose_threads(int64_t threads, int64_t workers) {
    mq_par_set_threads((int)threads);
    /* Starts them: OpenMP ends the process where a thread finds no room, and now there is most of it. */
    mq_parallel_for((size_t)mq_par_threads(), nothing, NULL);
    return workers > 0 ? (size_t)workers : (size_t)mq_cpu_count();
}

/* FOLDER/weights/NAME becomes FOLDER; false: it is no such path. */
static bool cut_to_run(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash) return false;
    *slash = 0;
    slash = strrchr(path, '/');
    if (!slash || slash == path || strcmp(slash, "/weights") != 0) return false;
    *slash = 0;
    return true;
}

mq_status mq_run_of(mq_err *err, const char *model, char **run) {
    mq_status status = MQ_OK;
    char *real = realpath(model, NULL), *given = NULL, *path = NULL;
    *run = NULL;
    if (!real || !cut_to_run(real)) goto cleanup;
    MQ_TRY(mq_path_join(err, real, "config.json", &path));
    if (!mq_file_exists(path)) goto cleanup;
    MQ_TRY(mq_strdup(err, model, &given)); /* people read the path that they gave, where it says as much */
    MQ_TRY(mq_strdup(err, cut_to_run(given) && mq_same_file(given, real) ? given : real, run));
cleanup:
    free(real);
    free(given);
    free(path);
    return status;
}

mq_status mq_run_data(mq_err *err, const char *run, char **data) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_json *config = NULL;
    MQ_TRY(mq_path_join(err, run, "config.json", &path));
    MQ_TRY(mq_json_load(err, path, &config));
    const char *name = mq_json_string(mq_json_get(config, "data"));
    MQ_REQUIRE(name, err, MQ_BAD_DATA, "%s: names no data set", path);
    MQ_REQUIRE(mq_folder_exists(name), err, MQ_NO_INPUT,
               "%s: no such data set from here; %s was trained on it, so say where it is now (eval RUN DATA, "
               "export --calib DATA, train DATA --resume RUN)",
               name, run);
    MQ_TRY(mq_strdup(err, name, data));
cleanup:
    mq_json_free(&config);
    free(path);
    return status;
}
