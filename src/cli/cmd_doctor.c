/* cmd_doctor.c: `marque doctor`, what this machine gives marque and what is missing. */
#include "base/child.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "net/arch.h"
#include "net/program.h"

#include <string.h>
#include <unistd.h>

typedef struct {
    bool json;
} doctor_options;

static const mq_option params[] = {
    MQ_OPTION_JSON(doctor_options),
    {.name = NULL},
};

/* The processor's name from /proc/cpuinfo; "unknown" where it is not told. */
static void processor(char *name, size_t size) {
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];
    snprintf(name, size, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file) fclose(file);
}

/* The processes of their own that read files of others. */
static const struct {
    const char *program, *purpose;
} CHILDREN[] = {
    {"marque-convert", "to read Keras' files"},
    {"marque-unpack", "to unpack archives"},
#ifdef MARQUE_FOREIGN_PICTURES
    {"marque-pictures", "to read TIFF, BMP, GIF, HEIC and AVIF"},
#endif
};

/* What a command would miss, or find damaged, a line for each. */
static mq_status find_missing(mq_err *err, mq_json **list) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, list, "[]"));
    for (size_t i = 0; mq_arch_at(i); i++) {
        mq_err missing = {0};
        mq_bundle *weights = NULL;
        if (mq_open_weights(&missing, mq_arch_at(i), &weights) != MQ_OK)
            MQ_TRY(mq_json_append(err, *list, mq_json_text(missing.text)));
        mq_bundle_free(&weights);
    }
    for (size_t i = 0; i < sizeof CHILDREN / sizeof *CHILDREN; i++) {
        mq_err missing = {0};
        char *path = NULL;
        if (mq_child_find(&missing, CHILDREN[i].program, CHILDREN[i].purpose, &path) != MQ_OK)
            MQ_TRY(mq_json_append(err, *list, mq_json_text(missing.text)));
        free(path);
    }
cleanup:
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const doctor_options *o = call->options;
    char name[256], *cache = NULL;
    mq_json *missing = NULL, *json = NULL;
    const double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1e9;
    const char *dtype = mq_dtype_name(mq_dtype_auto());
    processor(name, sizeof name);
    mq_err unknown = {0};
    const bool known = mq_cache_folder(&unknown, &cache) == MQ_OK;
    MQ_TRY(find_missing(err, &missing));
    if (o->json) {
        MQ_TRY(mq_json_pack(err, &json, "{s:s, s:o, s:i, s:s, s:s, s:s, s:f, s:o?, s:O}", "version",
                            mq_version(), "processor", mq_json_text(name), "cores", mq_cpu_count(), "isa",
                            mq_dnn_isa(), "onednn", mq_dnn_version(), "dtype", dtype, "memory_gb", memory,
                            "cache", mq_json_text(cache), "missing", missing));
        MQ_TRY(mq_print_json(err, &json));
        goto cleanup;
    }
    printf("marque      %s\n", mq_version());
    printf("processor   %s, %d cores to use\n", name, mq_cpu_count());
    printf("kernels     oneDNN %s, %s\n", mq_dnn_version(), mq_dnn_isa());
    printf("dtype auto  %s\n", dtype);
    printf("memory      %.1f GB\n", memory);
    if (known)
        printf("cache       %s (%.1f GB free)\n", cache,
               (double)mq_disk_free(mq_folder_exists(cache) ? cache : "/") / 1e9);
    else
        puts("cache       unknown");
    for (size_t i = 0; i < mq_json_size(missing); i++)
        printf("missing     %s\n", mq_json_string(mq_json_at(missing, i)));
    if (!mq_json_size(missing)) puts("nothing is missing");
cleanup:
    mq_json_free(&missing);
    free(cache);
    return status;
}

const mq_command mq_cmd_doctor = {
    .name = "doctor",
    .usage = "[--json]",
    .summary = "show version, processor, memory and what is missing",
    .params = params,
    .options_size = sizeof(doctor_options),
    .examples = "  marque doctor\n  marque doctor --json\n",
    .run = run,
};
