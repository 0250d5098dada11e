#include "apps/commands.h"

int main(int argc, char** argv) { return octet::apps::run_and_report(argc, argv); }
