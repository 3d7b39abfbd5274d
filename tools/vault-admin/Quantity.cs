using System.Globalization;

namespace EventVault.Admin;

/// <summary>Durations and sizes as people write them, such as 30d and 10MiB, and back.</summary>
internal static class Quantity
{
    private static readonly (string Unit, TimeSpan Size)[] Durations =
    [
        ("w", TimeSpan.FromDays(7)), ("d", TimeSpan.FromDays(1)), ("h", TimeSpan.FromHours(1)), ("m", TimeSpan.FromMinutes(1)), ("s", TimeSpan.FromSeconds(1)),
    ];

    private static readonly (string Unit, ulong Size)[] Sizes = [("GiB", 1UL << 30), ("MiB", 1UL << 20), ("KiB", 1UL << 10), ("", 1)];

    /// <summary>Reads a duration: a whole number and its unit, s, m, h, d or w.</summary>
    /// <param name="text">The text.</param>
    /// <param name="option">Name of the option that it was given with.</param>
    /// <exception cref="UsageException">It is no such text, or longer than any duration can be.</exception>
    public static TimeSpan Duration(string text, string option)
    {
        foreach (var (unit, size) in Durations)
        {
            if (text.EndsWith(unit, StringComparison.Ordinal) && Number(text[..^unit.Length]) is { } number && number <= (ulong)(TimeSpan.MaxValue / size))
            {
                return number * size;
            }
        }

        throw new UsageException($"{option} '{text}' is no duration: a whole number and its unit, such as 90s, 30m, 12h, 30d or 4w.");
    }

    /// <summary>Reads a size: a whole number of bytes, or of KiB, MiB or GiB.</summary>
    /// <param name="text">The text.</param>
    /// <param name="option">Name of the option that it was given with.</param>
    /// <exception cref="UsageException">It is no such text, or larger than any size can be.</exception>
    public static ulong Bytes(string text, string option)
    {
        foreach (var (unit, size) in Sizes)
        {
            if (text.EndsWith(unit, StringComparison.Ordinal) && Number(text[..^unit.Length]) is { } number && number <= ulong.MaxValue / size)
            {
                return number * size;
            }
        }

        throw new UsageException($"{option} '{text}' is no size: a whole number of bytes, which may end in KiB, MiB or GiB.");
    }

    /// <summary>A duration as <see cref="Duration"/> reads it, in the largest unit that says it exactly.</summary>
    /// <param name="duration">Whole seconds.</param>
    public static string Text(TimeSpan duration)
    {
        var (unit, size) = Array.Find(Durations, d => d.Unit != "w" && duration.Ticks % d.Size.Ticks == 0);
        return string.Create(CultureInfo.InvariantCulture, $"{duration.Ticks / size.Ticks}{unit}");
    }

    /// <summary>A size as <see cref="Bytes"/> reads it, in the largest unit that says it exactly.</summary>
    /// <param name="bytes">The size.</param>
    public static string Text(ulong bytes)
    {
        var (unit, size) = Array.Find(Sizes, s => bytes % s.Size == 0 && (bytes > 0 || s.Size == 1));
        return string.Create(CultureInfo.InvariantCulture, $"{bytes / size}{(unit.Length == 0 ? " bytes" : unit)}");
    }

    private static ulong? Number(string digits) =>
        ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
}
