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

/* The next word of a value "a|b|c" that can be said as it stands there: each of a choice, of others those
 * that are plain, as in "none|balanced|FILE.csv". NULL behind the last. */
static const char *next_word(const mq_option *p, const char *from, size_t *length) {
    for (; *from; from += *length) {
        from += *from == '|';
        *length = strcspn(from, "|");
        if (p->kind == MQ_OPTION_CHOICE || strspn(from, "abcdefghijklmnopqrstuvwxyz-") == *length)
            return from;
    }
    return NULL;
}

static bool has_words(const mq_option *p) {
    size_t length;
    return p->kind != MQ_OPTION_FLAG && next_word(p, p->value, &length);
}

/* All of these words, with blanks between them. */
static mq_status add_words(mq_err *err, mq_buf *out, const mq_option *p) {
    mq_status status = MQ_OK;
    size_t length;
    for (const char *word = next_word(p, p->value, &length); word;
         word = next_word(p, word + length, &length))
        MQ_TRY(mq_buf_printf(err, out, "%s%.*s", word == p->value ? "" : " ", (int)length, word));
cleanup:
    return status;
}

/* The words that may come first after the command. */
static mq_option first_words(const mq_command *command) {
    return (mq_option){.kind = MQ_OPTION_TEXT, .value = command->words ? command->words : ""};
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

/* The words of options' values, the options, and the words that may come first. */
static mq_status add_bash_values(mq_err *err, mq_buf *out, const mq_command *command) {
    mq_status status = MQ_OK;
    const mq_option first = first_words(command);
    MQ_TRY(add_case(err, out, command));
    MQ_TRY(mq_buf_add_text(err, out, "\n            case $prev in\n"));
    for (const mq_option *p = command->params; p->name; p++) {
        if (p->kind == MQ_OPTION_FLAG) continue;
        MQ_TRY(mq_buf_printf(err, out, "            --%s", p->name));
        if (p->alias) MQ_TRY(mq_buf_printf(err, out, "|--%s", p->alias));
        if (p->letter) MQ_TRY(mq_buf_printf(err, out, "|-%c", p->letter));
        MQ_TRY(mq_buf_add_text(err, out, ") value=yes words='"));
        MQ_TRY(add_words(err, out, p));
        MQ_TRY(mq_buf_add_text(err, out, "' ;;\n"));
    }
    MQ_TRY(mq_buf_add_text(err, out, "            esac\n            options='"));
    for (const mq_option *p = command->params; p->name; p++) {
        MQ_TRY(mq_buf_printf(err, out, "--%s ", p->name));
        if (p->alias) MQ_TRY(mq_buf_printf(err, out, "--%s ", p->alias));
    }
    MQ_TRY(mq_buf_add_text(err, out, "--help' first='"));
    MQ_TRY(add_words(err, out, &first));
    MQ_TRY(mq_buf_add_text(err, out, "' ;;\n"));
cleanup:
    return status;
}

mq_status mq_docs_bash(mq_err *err, mq_buf *out) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_add_text(err, out,
                           "# Completes words of marque in bash. Made by: marque docs bash\n"
                           "_marque() {\n"
                           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                           "    local value='' words='' options='' first=''\n"
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
                           "        if [[ -z $value && $cur == -* ]]; then\n"
                           "            words=$options\n"
                           "        elif [[ -z $value && $COMP_CWORD == 2 ]]; then\n"
                           "            words=$first\n"
                           "        fi\n"
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
    const bool value = p->kind != MQ_OPTION_FLAG, choice = p->kind == MQ_OPTION_CHOICE;
    MQ_TRY(mq_buf_printf(err, out, " \\\n            '%s%s[", name, value ? name[1] == '-' ? "=" : "+" : ""));
    MQ_TRY(add_quoted(err, out, &ZSH_ITEM, p->help));
    MQ_TRY(mq_buf_add_text(err, out, "]"));
    if (value) {
        MQ_TRY(mq_buf_add_text(err, out, ":"));
        MQ_TRY(add_quoted(err, out, &ZSH_ITEM, p->value));
        MQ_TRY(mq_buf_add_text(err, out, !has_words(p) ? ":_files" : choice ? ":(" : ":{compadd "));
        MQ_TRY(add_words(err, out, p));
        if (has_words(p)) MQ_TRY(mq_buf_add_text(err, out, choice ? ")" : "; _files}"));
    }
    MQ_TRY(mq_buf_add_text(err, out, "'"));
cleanup:
    return status;
}

static mq_status add_zsh_command(mq_err *err, mq_buf *out, const mq_command *command) {
    mq_status status = MQ_OK;
    const mq_option first = first_words(command);
    MQ_TRY(add_case(err, out, command));
    MQ_TRY(mq_buf_add_text(err, out, " _arguments '--help[show options and examples]'"));
    for (const mq_option *p = command->params; p->name; p++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", p->name);
        MQ_TRY(add_zsh_option(err, out, p, name));
        snprintf(name, sizeof name, "--%s", p->alias ? p->alias : "");
        if (p->alias) MQ_TRY(add_zsh_option(err, out, p, name));
        snprintf(name, sizeof name, "-%c", p->letter);
        if (p->letter) MQ_TRY(add_zsh_option(err, out, p, name));
    }
    MQ_TRY(mq_buf_add_text(err, out, " \\\n            "));
    if (command->words) MQ_TRY(mq_buf_add_text(err, out, "'1:word:("));
    MQ_TRY(add_words(err, out, &first));
    if (command->words) MQ_TRY(mq_buf_add_text(err, out, ")' "));
    MQ_TRY(mq_buf_add_text(err, out, "'*:file:_files' ;;\n"));
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
    if (p->alias) MQ_TRY(mq_buf_printf(err, out, " -l %s", p->alias));
    if (has_words(p)) {
        MQ_TRY(mq_buf_add_text(err, out, p->kind == MQ_OPTION_CHOICE ? " -x -a '" : " -r -a '"));
        MQ_TRY(add_words(err, out, p));
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
        if (!(*c)->words) continue;
        const mq_option first = first_words(*c);
        MQ_TRY(mq_buf_printf(err, out, "complete -c marque -n '__fish_seen_subcommand_from %s' -a '",
                             (*c)->name));
        MQ_TRY(add_words(err, out, &first));
        MQ_TRY(mq_buf_add_text(err, out, "'\n"));
    }
cleanup:
    return status;
}
