/* docs_complete.c: what bash, zsh and fish complete, from the tables of
 * commands and options. Called by `marque docs`. Invariant: words from the
 * tables stand in single quotes wherever they are not plain. */
#include "cli/docs.h"

#include <string.h>

/* Text in which each of the special characters stands behind a backslash, between single quotes in which a
 * quote is written as the shell wants it. */
typedef struct {
    const char *special, *quote;
} quoting;

static const quoting ZSH_ITEM = {"\\[]:", "'\\''"}, FISH = {"\\", "\\'"};

static mq_status add_quoted(mq_err *err, mq_buf *out, const quoting *how, const char *text) {
    mq_status status = MQ_OK;
    for (const char *p = text; *p; p++) {
        if (*p == '\'') {
            MQ_TRY(mq_buf_add_text(err, out, how->quote));
            continue;
        }
        if (strchr(how->special, *p)) MQ_TRY(mq_buf_add_text(err, out, "\\"));
        MQ_TRY(mq_buf_add(err, out, p, 1));
    }
cleanup:
    return status;
}

/* The words of "a|b|c" with blanks between them. */
static mq_status add_words(mq_err *err, mq_buf *out, const char *words) {
    mq_status status = MQ_OK;
    for (const char *p = words; *p; p++) MQ_TRY(mq_buf_add(err, out, *p == '|' ? " " : p, 1));
cleanup:
    return status;
}

static mq_status add_command_names(mq_err *err, mq_buf *out) {
    mq_status status = MQ_OK;
    for (const mq_command *const *c = mq_commands(); *c; c++)
        if (!(*c)->hidden) MQ_TRY(mq_buf_printf(err, out, "%s ", (*c)->name));
cleanup:
    return status;
}

/* The pattern of a command's names in a case: "eval" or "eval|val". */
static mq_status add_case(mq_err *err, mq_buf *out, const mq_command *command) {
    return mq_buf_printf(err, out, "        %s%s%s)", command->name, command->alias ? "|" : "",
                         command->alias ? command->alias : "");
}

/* The values of the options that take one of a few words. */
static mq_status add_bash_values(mq_err *err, mq_buf *out, const mq_command *command) {
    mq_status status = MQ_OK;
    MQ_TRY(add_case(err, out, command));
    MQ_TRY(mq_buf_add_text(err, out, "\n            case $prev in\n"));
    for (const mq_option *p = command->params; p->name; p++) {
        if (p->kind == MQ_OPTION_FLAG) continue;
        MQ_TRY(mq_buf_printf(err, out, "            --%s", p->name));
        if (p->alias) MQ_TRY(mq_buf_printf(err, out, "|--%s", p->alias));
        if (p->letter) MQ_TRY(mq_buf_printf(err, out, "|-%c", p->letter));
        MQ_TRY(mq_buf_add_text(err, out, ") value=yes words='"));
        if (p->kind == MQ_OPTION_CHOICE) MQ_TRY(add_words(err, out, p->value));
        MQ_TRY(mq_buf_add_text(err, out, "' ;;\n"));
    }
    MQ_TRY(mq_buf_add_text(err, out, "            esac\n            options='"));
    for (const mq_option *p = command->params; p->name; p++)
        MQ_TRY(mq_buf_printf(err, out, "--%s ", p->name));
    MQ_TRY(mq_buf_add_text(err, out, "--help' ;;\n"));
cleanup:
    return status;
}

mq_status mq_docs_bash(mq_err *err, mq_buf *out) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_add_text(err, out,
                           "# Completes words of marque in bash. Made by: marque docs bash\n"
                           "_marque() {\n"
                           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                           "    local value='' words='' options=''\n"
                           "    # --name=value comes as three words\n"
                           "    if [[ $cur == '=' ]]; then\n"
                           "        cur=''\n"
                           "    elif [[ $prev == '=' ]]; then\n"
                           "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
                           "    fi\n"
                           "    if ((COMP_CWORD == 1)); then\n"
                           "        words='"));
    MQ_TRY(add_command_names(err, out));
    MQ_TRY(mq_buf_add_text(err, out,
                           "--help --version'\n"
                           "    else\n"
                           "        case ${COMP_WORDS[1]} in\n"));
    for (const mq_command *const *c = mq_commands(); *c; c++)
        if (!(*c)->hidden) MQ_TRY(add_bash_values(err, out, *c));
    /* Where nothing is found, bash itself completes names of files. */
    MQ_TRY(mq_buf_add_text(err, out,
                           "        esac\n"
                           "        if [[ -z $value && $cur == -* ]]; then words=$options; fi\n"
                           "    fi\n"
                           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
                           "}\n"
                           "complete -o default -F _marque marque\n"));
cleanup:
    return status;
}

/* One name of an option as zsh's _arguments wants it: '--name=[help]:value:action'. */
static mq_status add_zsh_option(mq_err *err, mq_buf *out, const mq_option *p, const char *name) {
    mq_status status = MQ_OK;
    const bool value = p->kind != MQ_OPTION_FLAG;
    MQ_TRY(mq_buf_printf(err, out, " \\\n            '%s%s[", name, value ? name[1] == '-' ? "=" : "+" : ""));
    MQ_TRY(add_quoted(err, out, &ZSH_ITEM, p->help));
    MQ_TRY(mq_buf_add_text(err, out, "]"));
    if (value) {
        MQ_TRY(mq_buf_add_text(err, out, ":"));
        MQ_TRY(add_quoted(err, out, &ZSH_ITEM, p->value));
        MQ_TRY(mq_buf_add_text(err, out, p->kind == MQ_OPTION_CHOICE ? ":(" : ":_files"));
        if (p->kind == MQ_OPTION_CHOICE) MQ_TRY(add_words(err, out, p->value));
        if (p->kind == MQ_OPTION_CHOICE) MQ_TRY(mq_buf_add_text(err, out, ")"));
    }
    MQ_TRY(mq_buf_add_text(err, out, "'"));
cleanup:
    return status;
}

static mq_status add_zsh_command(mq_err *err, mq_buf *out, const mq_command *command) {
    mq_status status = MQ_OK;
    MQ_TRY(add_case(err, out, command));
    MQ_TRY(mq_buf_add_text(err, out, " _arguments '--help[show options and examples]'"));
    for (const mq_option *p = command->params; p->name; p++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", p->name);
        MQ_TRY(add_zsh_option(err, out, p, name));
        snprintf(name, sizeof name, "-%c", p->letter);
        if (p->letter) MQ_TRY(add_zsh_option(err, out, p, name));
    }
    MQ_TRY(mq_buf_add_text(err, out, " \\\n            '*:file:_files' ;;\n"));
cleanup:
    return status;
}

mq_status mq_docs_zsh(mq_err *err, mq_buf *out) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_add_text(err, out,
                           "#compdef marque\n"
                           "# Completes words of marque in zsh. Made by: marque docs zsh\n"
                           "_marque() {\n"
                           "    if ((CURRENT == 2)); then\n"
                           "        local -a commands=("));
    for (const mq_command *const *c = mq_commands(); *c; c++) {
        if ((*c)->hidden) continue;
        MQ_TRY(mq_buf_printf(err, out, "\n            '%s:", (*c)->name));
        MQ_TRY(add_quoted(err, out, &ZSH_ITEM, (*c)->summary));
        MQ_TRY(mq_buf_add_text(err, out, "'"));
    }
    MQ_TRY(mq_buf_add_text(err, out,
                           ")\n"
                           "        _describe command commands\n"
                           "        return\n"
                           "    fi\n"
                           "    shift words\n"
                           "    ((CURRENT--))\n"
                           "    case $words[1] in\n"));
    for (const mq_command *const *c = mq_commands(); *c; c++)
        if (!(*c)->hidden) MQ_TRY(add_zsh_command(err, out, *c));
    MQ_TRY(mq_buf_add_text(err, out, "    esac\n}\n_marque \"$@\"\n"));
cleanup:
    return status;
}

static mq_status add_fish_option(mq_err *err, mq_buf *out, const mq_command *command, const mq_option *p) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_printf(err, out, "complete -c marque -n '__fish_seen_subcommand_from %s%s%s' -l %s",
                         command->name, command->alias ? " " : "", command->alias ? command->alias : "",
                         p->name));
    if (p->letter) MQ_TRY(mq_buf_printf(err, out, " -s %c", p->letter));
    if (p->kind == MQ_OPTION_CHOICE) {
        MQ_TRY(mq_buf_add_text(err, out, " -x -a '"));
        MQ_TRY(add_words(err, out, p->value));
        MQ_TRY(mq_buf_add_text(err, out, "'"));
    } else if (p->kind != MQ_OPTION_FLAG) {
        MQ_TRY(mq_buf_add_text(err, out, " -r"));
    }
    MQ_TRY(mq_buf_add_text(err, out, " -d '"));
    MQ_TRY(add_quoted(err, out, &FISH, p->help));
    MQ_TRY(mq_buf_add_text(err, out, "'\n"));
cleanup:
    return status;
}

mq_status mq_docs_fish(mq_err *err, mq_buf *out) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_add_text(err, out, "# Completes words of marque in fish. Made by: marque docs fish\n"));
    for (const mq_command *const *c = mq_commands(); *c; c++) {
        if ((*c)->hidden) continue;
        MQ_TRY(
            mq_buf_printf(err, out, "complete -c marque -n __fish_use_subcommand -f -a %s -d '", (*c)->name));
        MQ_TRY(add_quoted(err, out, &FISH, (*c)->summary));
        MQ_TRY(mq_buf_add_text(err, out, "'\n"));
        for (const mq_option *p = (*c)->params; p->name; p++) MQ_TRY(add_fish_option(err, out, *c, p));
    }
cleanup:
    return status;
}
