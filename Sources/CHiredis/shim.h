// Only what stands alone in hiredis is used: its reply reader and its command formatter. Swift
// reads `int` and `size_t` counts alike, so 0.14 and 1.x need no #if here (see ReplyReader.swift).
#include <hiredis/hiredis.h>
