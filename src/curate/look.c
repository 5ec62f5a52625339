/* look.c: decodes a picture the way training does and turns it grey. Called by
 * the scan's workers. Owns nothing. Invariant: the pixels come from
 * data/prepare.c, so what is judged is what a network gets. */
#include "curate/look.h"
#include "data/prepare.h"

#include <math.h>

mq_status mq_look_at(mq_err *err, const mq_recipe *recipe, const mq_sample *sample, mq_look *look) {
    mq_recipe own = mq_recipe_default(MQ_LOOK_SIDE, MQ_RANGE_UNIT);
    own.crop = recipe->crop;
    own.margin = recipe->margin;
    const mq_encoded in = {sample->name, sample->bytes, sample->size};
    const mq_status status = mq_prepare(err, &own, &in, sample->has_box ? &sample->box : NULL, false,
                                        look->pixels);
    if (status != MQ_OK) return status;
    const float *p = look->pixels;
    for (size_t i = 0; i < MQ_LOOK_PIXELS; i++, p += 3)
        look->luma[i] = (uint8_t)lroundf(255 * (0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2]));
    return MQ_OK;
}
