/* base64.c: bytes as text. Called where pictures go into a page. Owns nothing. */
#include "base/base64.h"

mq_status mq_base64_add(mq_err *err, mq_buf *out, const uint8_t *data, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_reserve(err, out, (size + 2) / 3 * 4));
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t three = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                               (left > 2 ? data[i + 2] : 0);
        const char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                              left > 1 ? digits[three >> 6 & 63] : '=', left > 2 ? digits[three & 63] : '='};
        MQ_TRY(mq_buf_add(err, out, four, sizeof four));
    }
cleanup:
    return status;
}
