using System.CommandLine;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>streams retain</c>: sets, shows and takes back how long events are kept.</summary>
internal sealed class RetainCommand
{
    private const string Description =
        "Say how long the events of a stream or of a category are kept. What is given replaces the whole rule. Events that are due are no longer read, within a minute as a rule; their space returns with a scavenge.";

    private static readonly string[] Examples =
    [
        "streams retain --category session --max-age 30d    30 days, for all streams session-…",
        "streams retain --category sensor --max-events 1000 --max-bytes 10MiB",
        "streams retain session-42 --forever                keeps this one, whatever its category says",
        "streams retain order-7 --legal-hold                nothing of it can be deleted until it is released",
        "streams retain order-7 --remove --release          takes the rule back, and its hold",
        "streams retain session-42 --show                   what applies, and where it comes from",
    ];

    private readonly Argument<string?> _stream = new("stream") { Description = "Name of the stream; it need not exist yet.", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string?> _category = new("--category") { Description = "Every stream of this category instead: what stands before the first - of the name.", HelpName = "C" };
    private readonly Option<string?> _maxAge = new("--max-age") { Description = "Keep events this long after they were recorded, and a tenth or an hour longer at most: 90s, 30m, 12h, 30d, 4w.", HelpName = "duration" };
    private readonly Option<ulong?> _maxEvents = new("--max-events") { Description = "Keep a stream's last N events; up to a tenth more stay readable.", HelpName = "N" };
    private readonly Option<string?> _maxBytes = new("--max-bytes") { Description = "Keep a stream's last events up to this size, such as 10MiB, and a tenth more; the last event always stays.", HelpName = "size" };
    private readonly Option<bool> _forever = new("--forever") { Description = "Keep everything, whatever the category's rule says." };
    private readonly Option<bool> _legalHold = new("--legal-hold") { Description = "Refuse to delete, tombstone or truncate; nothing becomes due, nothing is scavenged." };
    private readonly Option<bool> _release = new("--release") { Description = "Let a legal hold end with this change; without it a change that would end one is refused." };
    private readonly Option<bool> _remove = new("--remove") { Description = "Take the rule back. What was due stays hidden." };
    private readonly Option<bool> _show = new("--show") { Description = "Show what applies, and where it comes from; change nothing." };
    private readonly Option<Guid?> _operationId = new("--operation-id") { Description = "UUID of the change: a repeat with the same one does nothing." };
    private readonly AttemptedAfterOption _attemptedAfter = new();

    public static Command Create(GlobalOptions global)
    {
        var self = new RetainCommand();
        var command = new CommandWithExamples("retain", Description, Examples)
        {
            self._stream, self._category, self._maxAge, self._maxEvents, self._maxBytes, self._forever, self._legalHold, self._release, self._remove,
            self._show, self._operationId, self._attemptedAfter.Option,
        };
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var scope = ScopeOf(parse);
        var rule = RuleOf(parse);
        var (removes, shows) = (parse.GetValue(_remove), parse.GetValue(_show));
        var options = new ChangeOptions { OperationId = parse.GetValue(_operationId), AttemptedAfter = _attemptedAfter.Of(parse, _operationId) };
        if ((rule is null ? 0 : 1) + (removes ? 1 : 0) + (shows ? 1 : 0) != 1)
        {
            throw new UsageException("Say one thing: a rule (--max-age, --max-events, --max-bytes, --forever, --legal-hold), --remove or --show.");
        }

        if (shows && (options.OperationId is not null || parse.GetValue(_release)))
        {
            throw new UsageException($"--show changes nothing: leave {(parse.GetValue(_release) ? _release.Name : _operationId.Name)} out.");
        }

        await using var client = context.Connect();
        if (shows)
        {
            RetentionLines.Write(context.Output, scope, await client.GetRetentionAsync(scope, cancellationToken: context.Stop));
            return ExitCode.Done;
        }

        if (rule is not { LegalHold: true } && !parse.GetValue(_release))
        {
            await KeepHoldAsync(client, scope, context.Stop);
        }

        var result = rule is null
            ? await client.RemoveRetentionAsync(scope, options, context.Stop)
            : await client.SetRetentionAsync(scope, rule, options, context.Stop);
        AppendLine.Write(context.Output, $"{scope}, recorded in {result.Streams[0].Stream}", result);
        return ExitCode.Done;
    }

    // A rule is replaced as a whole, and a hold that ends by oversight can't be made good: whoever changed the age meant the age.
    private async Task KeepHoldAsync(VaultClient client, RetentionScope scope, CancellationToken stop)
    {
        var applied = await client.GetRetentionAsync(scope, cancellationToken: stop);
        if (applied.HeldBy.Contains(scope))
        {
            throw new UsageException($"The {scope} is under a legal hold, which this would end. Add {_legalHold.Name} to keep it, or {_release.Name} to end it.");
        }
    }

    private RetentionScope ScopeOf(ParseResult parse) => (parse.GetValue(_stream), parse.GetValue(_category)) switch
    {
        ({ Length: > 0 } stream, null) => RetentionScope.Stream(stream),
        (null, { Length: > 0 } category) => RetentionScope.Category(category),
        ("", _) => throw new UsageException("The name of the stream is empty."),
        (_, "") => throw new UsageException($"{_category.Name} is empty. Give a text, or name a stream."),
        (null, null) => throw new UsageException($"Name a stream, or a category with {_category.Name}."),
        _ => throw new UsageException($"Name a stream or a category, not both."),
    };

    // Null: no rule was given. What a rule may hold, the client checks.
    private RetentionRule? RuleOf(ParseResult parse)
    {
        var rule = new RetentionRule
        {
            MaxAge = parse.GetValue(_maxAge) is { } age ? Quantity.Duration(age, _maxAge.Name) : null,
            MaxEvents = parse.GetValue(_maxEvents),
            MaxBytes = parse.GetValue(_maxBytes) is { } bytes ? Quantity.Bytes(bytes, _maxBytes.Name) : null,
            Forever = parse.GetValue(_forever),
            LegalHold = parse.GetValue(_legalHold),
        };
        return rule == new RetentionRule() ? null : rule;
    }
}
