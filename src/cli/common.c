/* common.c: choices that several commands make alike. */
#include "cli/common.h"
#include "base/par.h"
#include "net/program.h"

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

size_t mq_choose_threads(int64_t threads, int64_t workers) {
    mq_par_set_threads((int)threads);
    return workers > 0 ? (size_t)workers : (size_t)mq_cpu_count();
}
