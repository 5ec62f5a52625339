/* fuzz_policy.c: policies of augmentation: what is taken is written so that it reads back to the same. */
#include "fuzz/fuzz.h"

#include "data/augment.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0}, again = {0};
    mq_augment *augment = NULL, *copy = NULL;
    char text[256];
    if (size >= sizeof text || memchr(data, '/', size)) return 0; /* no paths: it would read files */
    memcpy(text, data, size);
    text[size] = 0;
    const mq_status status = mq_augment_parse(&err, text, &augment);
    fuzz_require(status == MQ_OK || status == MQ_USAGE || status == MQ_NO_INPUT,
                 "a code that is not about words");
    if (status == MQ_OK) {
        fuzz_require(mq_augment_parse(&again, mq_augment_text(augment), &copy) == MQ_OK,
                     "its own text is refused");
        fuzz_require(strcmp(mq_augment_text(copy), mq_augment_text(augment)) == 0,
                     "it reads back to another");
    }
    mq_augment_free(&augment);
    mq_augment_free(&copy);
    return 0;
}
