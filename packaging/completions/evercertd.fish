# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_evercertd_global_optspecs
    string join \n h/help V/version
end

function __fish_evercertd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_evercertd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_evercertd_using_subcommand
    set -l cmd (__fish_evercertd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c evercertd -n "__fish_evercertd_needs_command" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_needs_command" -s V -l version -d 'Print version'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "run" -d 'Run the daemon in the foreground'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "check" -d 'Judge certificates in files as the daemon would, without one'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "config" -d 'Print the default configuration with every key documented, or check a file'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "status" -d 'Show every identity: its leaf, its findings, who uses it and who is behind'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "watch" -d 'Follow the status live'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "reload" -d 'Have the running daemon read its configuration and every identity\'s files again'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "trust" -d 'Show the anchors that are trusted though they left their ca.crt, or end that'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "probe" -d 'Ask a gRPC server whether it is healthy, as grpc_health_probe does'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "completions" -d 'Print a script that has a shell complete these commands and their options'
complete -c evercertd -n "__fish_evercertd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c evercertd -n "__fish_evercertd_using_subcommand run" -s c -l config -d 'The configuration; without it /etc/evercert/evercertd.toml, and where that is missing the defaults' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand run" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l host -d 'A DNS name, IP address or URI that every leaf has to be for; may be repeated' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l usage -d 'A use that every leaf has to allow, in cert-manager\'s words, such as "client auth", or server or client for short; may be repeated' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l bundle -d 'The bundle that every chain has to lead to, instead of the ca.crt beside it' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l at -d 'Judge as if it were TIME: RFC 3339, such as 2027-03-01T00:00:00Z, or a span from now, such as +30d' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l until -d 'Tell what fails until TIME, as in --at, the first first; a span is counted from --at' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l format -d 'How the report is written' -r -f -a "text\t'For people, coloured on a terminal unless NO_COLOR is set'
json\t'For programs: times are RFC 3339 in UTC, absent values are null, new fields may be added'
sarif\t'For code scanners: SARIF 2.1.0, whose rules are the checks'"
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l explain -d 'Print the page about a check: what it finds, why that matters, and what to do' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l strict -d 'End with status 1 where there are warnings'
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l list -d 'List what is checked: name, severities and meaning'
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -l json -d 'With --list: for programs, with clauses and pages'
complete -c evercertd -n "__fish_evercertd_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c evercertd -n "__fish_evercertd_using_subcommand config" -l check -d 'Check FILE as `evercertd run` does at its start and at a reload, and say what is wrong with it; - is standard input; without FILE the one that `evercertd run` reads' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand config" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand status" -l socket -d 'The admin socket, `admin` under [sockets] of the configuration' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand status" -l problems -d 'Show those alone that need attention: what is wrong, as below, and what is warned of'
complete -c evercertd -n "__fish_evercertd_using_subcommand status" -l long -d 'Print all that is known of each identity: its leaf, trust and lists, findings with what to do, and each subscriber'
complete -c evercertd -n "__fish_evercertd_using_subcommand status" -l json -d 'Print JSON, as docs/status.schema.json in the source says: times are RFC 3339 in UTC, absent values are null, new fields may be added'
complete -c evercertd -n "__fish_evercertd_using_subcommand status" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand watch" -l socket -d 'The admin socket, `admin` under [sockets] of the configuration' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand watch" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand reload" -l socket -d 'The admin socket, `admin` under [sockets] of the configuration' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand reload" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and not __fish_seen_subcommand_from list drop who help" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and not __fish_seen_subcommand_from list drop who help" -f -a "list" -d 'Show the anchors that are trusted though they are no longer on disk, and until when'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and not __fish_seen_subcommand_from list drop who help" -f -a "drop" -d 'End the trust in one of them now, for good'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and not __fish_seen_subcommand_from list drop who help" -f -a "who" -d 'Show which identities present a leaf under a CA, or trust it'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and not __fish_seen_subcommand_from list drop who help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from list" -l identity -d 'Only this identity: NAME, or namespace/pod/NAME or pod/UID/NAME for one of a pod' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from list" -l socket -d 'The admin socket, `admin` under [sockets] of the configuration' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from list" -l json -d 'Print JSON: times are RFC 3339 in UTC, new fields may be added'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from drop" -l identity -d 'Only in this identity: NAME, or namespace/pod/NAME or pod/UID/NAME for one of a pod' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from drop" -l socket -d 'The admin socket, `admin` under [sockets] of the configuration' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from who" -l socket -d 'The admin socket, `admin` under [sockets] of the configuration' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from who" -l json -d 'Print JSON: new fields may be added'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from who" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "list" -d 'Show the anchors that are trusted though they are no longer on disk, and until when'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "drop" -d 'End the trust in one of them now, for good'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "who" -d 'Show which identities present a leaf under a CA, or trust it'
complete -c evercertd -n "__fish_evercertd_using_subcommand trust; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l addr -d 'HOST:PORT, :PORT for this host, or unix:PATH' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l service -d 'The service to ask for; the server as a whole unless set' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l connect-timeout -d 'How long connecting may take, the TLS handshake included' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l rpc-timeout -d 'How long the answer may take' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l rpc-header -d 'A header of the call; may be given several times. An authorization goes with TLS alone' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l user-agent -d 'What the call names as its sender' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l tls-ca-cert -d 'The certificates that vouch for the server (with -tls)' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l tls-client-cert -d 'The client\'s certificate (with -tls and -tls-client-key)' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l tls-client-key -d 'Its private key (with -tls and -tls-client-cert)' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l tls-server-name -d 'The name that the server\'s certificate has to be for, instead of the host (with TLS)' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l identity-dir -d 'TLS with the certificate, key and CA of this directory, as cert-manager names them' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l identity -d 'TLS with this identity of the daemon\'s' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l agent-socket -d 'The daemon\'s workload socket (with --identity)' -r -F
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l server-spiffe-id -d 'The SPIFFE ID that the server has to have, instead of a name; may be given several times (with TLS)' -r
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l gzip -d 'Compress the call with gzip'
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l tls -d 'Use TLS'
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l tls-no-verify -d 'Not there: the server\'s certificate is always verified'
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l alts -d 'Not there'
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l spiffe -d 'Not there: see --identity'
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -s v -l v -d 'Say what is done'
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -l version -d 'Print the version'
complete -c evercertd -n "__fish_evercertd_using_subcommand probe" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand completions" -s h -l help -d 'Print help'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "run" -d 'Run the daemon in the foreground'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "check" -d 'Judge certificates in files as the daemon would, without one'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "config" -d 'Print the default configuration with every key documented, or check a file'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "status" -d 'Show every identity: its leaf, its findings, who uses it and who is behind'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "watch" -d 'Follow the status live'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "reload" -d 'Have the running daemon read its configuration and every identity\'s files again'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "trust" -d 'Show the anchors that are trusted though they left their ca.crt, or end that'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "probe" -d 'Ask a gRPC server whether it is healthy, as grpc_health_probe does'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "completions" -d 'Print a script that has a shell complete these commands and their options'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and not __fish_seen_subcommand_from run check config status watch reload trust probe completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and __fish_seen_subcommand_from trust" -f -a "list" -d 'Show the anchors that are trusted though they are no longer on disk, and until when'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and __fish_seen_subcommand_from trust" -f -a "drop" -d 'End the trust in one of them now, for good'
complete -c evercertd -n "__fish_evercertd_using_subcommand help; and __fish_seen_subcommand_from trust" -f -a "who" -d 'Show which identities present a leaf under a CA, or trust it'
