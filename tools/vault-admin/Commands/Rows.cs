using System.Globalization;
using Spectre.Console;

namespace EventVault.Admin.Commands;

/// <summary>Names and values, one pair a row, as people read them.</summary>
internal static class Rows
{
    public static Table Of(params (string Name, string Value)[] rows)
    {
        var table = new Table().HideHeaders().AddColumn("name").AddColumn("value");
        foreach (var (name, value) in rows)
        {
            table.AddRow(Markup.Escape(name), Markup.Escape(value));
        }

        return table;
    }

    public static string Head(ulong? head, DateTimeOffset? recordedAt) => head is { } position
        ? $"{Place(position)}, recorded {(recordedAt is { } time ? JsonText.Time(time) : "at an unknown time")}"
        : "none: the vault is empty";

    public static string Bytes(ulong bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (1024.0 * 1024):N1} MiB");

    /// <summary>How many, in groups of three digits.</summary>
    public static string Number(ulong number) => number.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>A position, a version or a segment's number: as options take it.</summary>
    public static string Place(ulong number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>How many of what.</summary>
    /// <param name="count">How many.</param>
    /// <param name="one">What, if it is one; an s makes it more.</param>
    public static string Count(long count, string one) => $"{Number((ulong)count)} {one}{(count == 1 ? string.Empty : "s")}";
}
