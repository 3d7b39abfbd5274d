using System.CommandLine;
using System.Globalization;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>--attempted-after</c>: how old the first attempt is that this one repeats.</summary>
internal sealed class AttemptedAfterOption
{
    public Option<string?> Option { get; } = new("--attempted-after")
    {
        Description = "For a repeat with the same --operation-id: the vault's head before the first attempt, or empty. If ids that old are no longer kept, the repeat is refused.",
        HelpName = "position|empty",
    };

    /// <summary>The head before the first attempt; null: this is the first attempt.</summary>
    /// <param name="parse">The command line.</param>
    /// <param name="operationId">The option that names what is repeated.</param>
    /// <exception cref="UsageException">It comes without an operation id, or is no head.</exception>
    public SeenHead? Of(ParseResult parse, Option<Guid?> operationId)
    {
        if (parse.GetValue(Option) is not { } text)
        {
            return null;
        }

        if (parse.GetValue(operationId) is null)
        {
            throw new UsageException($"{Option.Name} goes with the {operationId.Name} of the first attempt.");
        }

        return text == "empty" ? new SeenHead(null)
            : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var position) ? new SeenHead(position)
            : throw new UsageException($"{Option.Name} '{text}' is neither a position nor empty.");
    }
}
