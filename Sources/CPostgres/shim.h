// Debian has it in a folder of its own, which pkg-config names.
#include <libpq-fe.h>
