// Debian has it in a folder of its own.
#if __has_include(<libpq-fe.h>)
#include <libpq-fe.h>
#else
#include <postgresql/libpq-fe.h>
#endif
#include <dlfcn.h>

#define LIBPQ_FUNCTIONS(EACH) \
  EACH(PQclear) \
  EACH(PQconnectdbParams) \
  EACH(PQconnectionNeedsPassword) \
  EACH(PQconninfoFree) \
  EACH(PQconninfoParse) \
  EACH(PQconsumeInput) \
  EACH(PQdb) \
  EACH(PQerrorMessage) \
  EACH(PQfinish) \
  EACH(PQflush) \
  EACH(PQgetResult) \
  EACH(PQgetisnull) \
  EACH(PQgetvalue) \
  EACH(PQhost) \
  EACH(PQisBusy) \
  EACH(PQnfields) \
  EACH(PQntuples) \
  EACH(PQport) \
  EACH(PQresultErrorField) \
  EACH(PQresultStatus) \
  EACH(PQsendPrepare) \
  EACH(PQsendQuery) \
  EACH(PQsendQueryParams) \
  EACH(PQsendQueryPrepared) \
  EACH(PQsetNoticeProcessor) \
  EACH(PQsetnonblocking) \
  EACH(PQsocket) \
  EACH(PQstatus)

// libpq's functions, of the types that its header gives them: nothing is linked, and none is declared a second time.
struct LibPQ {
#define LIBPQ_MEMBER(name) __typeof__(&name) name;
  LIBPQ_FUNCTIONS(LIBPQ_MEMBER)
#undef LIBPQ_MEMBER
};

// Finds them in a library that dlopen returned; answers the name of one that is not there, or NULL.
static inline const char *libpq_find(struct LibPQ *functions, void *library) {
#define LIBPQ_FIND(name) \
  if (!(functions->name = (__typeof__(&name))dlsym(library, #name))) return #name;
  LIBPQ_FUNCTIONS(LIBPQ_FIND)
#undef LIBPQ_FIND
  return 0;
}
