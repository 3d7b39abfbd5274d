// Who may do what: an operation on the streams of a category, or on all that are not the vault's own (`*`), or on all that are (`$*`).
// What is the vault's own is never covered by `*`.
using System.Text;
using EventVault.Storage.Log;

namespace EventVault.Node.Security;

/// <summary>What can be allowed.</summary>
[Flags]
internal enum Operations
{
    None = 0,

    /// <summary>Events, states, names and counts of streams.</summary>
    Read = 1,

    /// <summary>Appends to streams.</summary>
    Append = 2,

    /// <summary>Deleting and truncating streams, retention rules; on <c>*</c> also reducers.</summary>
    Manage = 4,

    /// <summary>Everything, over all categories: nodes, users, roles, scavenging.</summary>
    Admin = 8,
}

/// <summary>One operation on one category.</summary>
/// <param name="Operation">Which one.</param>
/// <param name="Category">UTF-8; <see cref="Everything"/> and <see cref="System"/> stand for many.</param>
internal readonly record struct Grant(Operations Operation, string Category)
{
    /// <summary>All categories that are not the vault's own.</summary>
    public const string Everything = "*";

    /// <summary>All that are.</summary>
    public const string System = "$*";

    private static readonly (string Word, Operations Operation)[] Words = [("read", Operations.Read), ("append", Operations.Append), ("manage", Operations.Manage)];

    /// <summary>The category of a stream: what stands before the first <c>-</c>.</summary>
    public static string CategoryOf(string stream) => stream.IndexOf('-', StringComparison.Ordinal) is >= 0 and var dash ? stream[..dash] : stream;

    /// <summary>Reads <c>read:order</c>, <c>append:*</c>, <c>read:$audit</c> or <c>admin</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="grant">What it says.</param>
    /// <returns>What is wrong with it; null: nothing.</returns>
    public static string? Parse(string text, out Grant grant)
    {
        grant = default;
        if (text == "admin")
        {
            grant = new Grant(Operations.Admin, Everything);
            return null;
        }

        var colon = text.IndexOf(':', StringComparison.Ordinal);
        var operation = colon < 0 ? Operations.None : Words.FirstOrDefault(w => w.Word == text[..colon]).Operation;
        if (operation == Operations.None)
        {
            return "must be admin, or read:, append: or manage: and a category, * for all, or $* for the vault's own";
        }

        var category = text[(colon + 1)..];
        if (category.Length == 0 || Encoding.UTF8.GetByteCount(category) > VaultLimits.StreamNameBytes || category.Contains('-', StringComparison.Ordinal)
            || (category.Contains('*', StringComparison.Ordinal) && category is not (Everything or System)))
        {
            return "must name a category, which is what stands before the first - of a stream's name, or * for all, or $* for the vault's own";
        }

        if (operation != Operations.Read && category[0] == '$')
        {
            return "allows to change what is the vault's own, which nobody can: only read: goes with $";
        }

        grant = new Grant(operation, category);
        return null;
    }

    public override string ToString() => Operation switch
    {
        Operations.Admin => "admin",
        Operations.Manage => $"manage:{Category}",
        Operations.Append => $"append:{Category}",
        _ => $"read:{Category}",
    };
}

/// <summary>All that somebody may do. Nobody changes it.</summary>
internal sealed class Rights
{
    private readonly Operations _everything;
    private readonly Operations _system;
    private readonly (byte[] Category, Operations Operations)[] _categories;

    public Rights(IEnumerable<Grant> grants)
    {
        var all = grants.ToList();
        IsAdmin = all.Exists(static g => g.Operation == Operations.Admin);
        IsNone = all.Count == 0;
        _everything = Of(all, Grant.Everything);
        _system = Of(all, Grant.System);
        _categories = [.. all.Where(static g => g.Category is not (Grant.Everything or Grant.System))
            .GroupBy(static g => g.Category, StringComparer.Ordinal).Select(g => (Encoding.UTF8.GetBytes(g.Key), Of(all, g.Key)))];
    }

    /// <summary>Nothing.</summary>
    public static Rights None { get; } = new([]);

    /// <summary>All there is.</summary>
    public static Rights All { get; } = new([new Grant(Operations.Admin, Grant.Everything)]);

    /// <summary>Whether they are those of an administrator, who may do everything.</summary>
    public bool IsAdmin { get; }

    /// <summary>Whether nothing is allowed.</summary>
    public bool IsNone { get; }

    /// <summary>Whether something is allowed.</summary>
    public bool Allow(Grant asked) => IsAdmin || asked.Operation != Operations.Admin && asked.Category switch
    {
        Grant.Everything => (_everything & asked.Operation) != 0,
        Grant.System => (_system & asked.Operation) != 0,
        _ => Allow(asked.Operation, Encoding.UTF8.GetBytes(asked.Category)),
    };

    /// <summary>Whether an operation on a stream is allowed. Allocates nothing.</summary>
    /// <param name="operation">One, other than <see cref="Operations.Admin"/>.</param>
    /// <param name="stream">Name of the stream, or only its category, UTF-8.</param>
    public bool Allow(Operations operation, ReadOnlySpan<byte> stream)
    {
        if (IsAdmin || ((stream is [(byte)'$', ..] ? _system : _everything) & operation) != 0)
        {
            return true;
        }

        var dash = stream.IndexOf((byte)'-');
        var category = dash < 0 ? stream : stream[..dash];
        foreach (var (granted, operations) in _categories)
        {
            if ((operations & operation) != 0 && category.SequenceEqual(granted))
            {
                return true;
            }
        }

        return false;
    }

    private static Operations Of(List<Grant> grants, string category) =>
        grants.Where(g => g.Category == category).Aggregate(Operations.None, static (all, g) => all | g.Operation);
}
