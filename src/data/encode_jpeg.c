/* encode_jpeg.c: writes JPEG through libjpeg-turbo, the one file that knows
 * its compressor. Called by augmentation and by those who show pictures. The
 * library leaves by longjmp, so all it needs lives in jpeg_writer. Invariant:
 * the same pixels and quality give the same bytes. */
#include "data/encode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

typedef struct {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr error;
    jmp_buf jump;
    mq_view view;
    int quality;
    unsigned char *bytes; /* the library's, from malloc */
    unsigned long size;
    char text[JMSG_LENGTH_MAX];
} jpeg_writer;

static void leave(j_common_ptr common) {
    jpeg_writer *writer = common->client_data;
    common->err->format_message(common, writer->text);
    longjmp(writer->jump, 1);
}

static void say_nothing(j_common_ptr common) {
    (void)common;
}

/* Standard tables and 4:2:0, as Pillow's save. False when the library left by longjmp. */
static bool compress(jpeg_writer *writer) {
    struct jpeg_compress_struct *jpeg = &writer->jpeg;
    if (setjmp(writer->jump)) return false;
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, &writer->bytes, &writer->size);
    jpeg->image_width = writer->view.width;
    jpeg->image_height = writer->view.height;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, writer->quality, TRUE);
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        /* The library takes rows without const, and only reads them. */
        JSAMPROW row = (JSAMPROW)(uintptr_t)(writer->view.rgb + jpeg->next_scanline * writer->view.stride);
        (void)jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
    return true;
}

mq_status mq_jpeg_encode(mq_err *err, mq_view view, int quality, mq_buf *out) {
    mq_status status = MQ_OK;
    jpeg_writer writer = {.view = view, .quality = quality};
    writer.jpeg.err = jpeg_std_error(&writer.error);
    writer.jpeg.client_data = &writer;
    writer.error.error_exit = leave;
    writer.error.output_message = say_nothing;
    mq_buf_clear(out);
    MQ_REQUIRE(compress(&writer), err, MQ_BAD_DATA, "a picture of %u x %u cannot be stored as JPEG: %s",
               view.width, view.height, writer.text);
    MQ_TRY(mq_buf_add(err, out, writer.bytes, writer.size));
cleanup:
    jpeg_destroy_compress(&writer.jpeg);
    free(writer.bytes);
    return status;
}
