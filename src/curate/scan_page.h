/* scan_page.h: a scan for people: one HTML page with thumbnails that needs no other file, network or script.
 */
#ifndef MQ_SCAN_PAGE_H
#define MQ_SCAN_PAGE_H

#include "curate/scan.h"

/* Appends the page. recipe says what part of a picture is shown. Of each kind of finding the worst are shown
 * and the others counted, so that the page stays small however large the data set. */
MQ_MUST_USE mq_status mq_scan_to_page(mq_err *err, const mq_scan *scan, const mq_recipe *recipe,
                                      mq_buf *page);

#endif
