using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace EventVault.Node.Tests;

/// <summary>
/// docs/CONFIGURATION.md is what the node knows of its settings. With the variable WRITE_DOCS it is written anew:
/// WRITE_DOCS=1 dotnet test tests/EventVault.Node.Tests -c Release --filter ConfigurationTests
/// </summary>
public sealed partial class ConfigurationTests
{
    private const string Head =
        """
        # Settings of the node

        Generated from `src/EventVault.Node/NodeSettings.cs` (`tests/EventVault.Node.Tests/ConfigurationTests.cs`); a test fails when it is stale. How to
        choose them: [OPERATIONS](OPERATIONS.md#settings).

        Each is a flag, a variable, or a property of the object `EventVault` in the settings file, under the name of the flag without its hyphens. Flags come before
        variables, variables before the file, the file before the default. What is not in this table is refused, but for variables of `vault-admin`, and so is a value out of
        its range (exit code 2). All are read when the node starts. Bytes may end in KiB, MiB or GiB.

        | Setting | Variable | Value | Default | Range | |
        |---|---|---|---|---|---|

        """;

    private static string Path { get; } = System.IO.Path.GetFullPath(System.IO.Path.Combine(AppContext.BaseDirectory, "..", "..", "..", "..", "..", "docs", "CONFIGURATION.md"));

    // What stands in brackets at the description's end is the default.
    [GeneratedRegex(@"^(?<text>.*?)( \((?<default>[^()]+)\))?$")]
    private static partial Regex Description();

    [GeneratedRegex(@"; (?<least>\d+) to (?<most>\d+) are allowed\.")]
    private static partial Regex Allowed();

    [Fact]
    public void The_reference_is_what_the_node_knows()
    {
        var generated = Generate();
        if (Environment.GetEnvironmentVariable("WRITE_DOCS") is not null)
        {
            File.WriteAllText(Path, generated);
        }

        Assert.Equal(generated, File.ReadAllText(Path));
    }

    // As text, which tells all values: what is left out must come to the same as what is said to stand for it.
    [Fact]
    public void A_default_is_what_the_description_says()
    {
        var without = Read([]).ToString();
        var compared = 0;
        foreach (var setting in NodeSettings.All.Where(s => IsNumber(s.Value) && IsPlain(DefaultOf(s))))
        {
            Assert.Equal($"{setting.Name}: {without}", $"{setting.Name}: {Read([$"--{setting.Name}", DefaultOf(setting)])}");
            compared++;
        }

        Assert.True(compared > 20, $"{compared} defaults were compared.");
    }

    private static string Generate()
    {
        var text = new StringBuilder(Head.ReplaceLineEndings("\n"));
        foreach (var setting in NodeSettings.All)
        {
            var (value, otherwise) = (setting.Value.Length == 0 ? "" : $"`{Cell(setting.Value)}`", DefaultOf(setting));
            var meaning = Description().Match(setting.Description).Groups["text"].Value;
            text.Append(CultureInfo.InvariantCulture, $"| `--{setting.Name}` | `{setting.Variable}` | {value} | {otherwise} | {RangeOf(setting)} | {Cell(meaning)} |\n");
        }

        return text.ToString();
    }

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);

    private static string DefaultOf(NodeSettings.Setting setting) => Description().Match(setting.Description).Groups["default"] is { Success: true, Value: var told }
        ? setting.Value.Length == 0 ? $"off, {told}" : told
        : setting.Value.Length == 0 ? "off" : "";

    private static bool IsNumber(string value) => value is "N" or "BYTES" or "MS" or "HOURS";

    private static bool IsPlain(string told) => told.Length > 0 && char.IsAsciiDigit(told[0]) && !told.Contains(' ', StringComparison.Ordinal);

    // The node itself tells it to whoever asks for too much.
    private static string RangeOf(NodeSettings.Setting setting)
    {
        if (!IsNumber(setting.Value))
        {
            return "";
        }

        var refused = Assert.Throws<SettingException>(() => Read([$"--{setting.Name}", $"{long.MaxValue}"]));
        var range = Allowed().Match(refused.Message);
        Assert.True(range.Success, refused.Message);
        return $"{Quantity(range.Groups["least"].Value, setting)} to {Quantity(range.Groups["most"].Value, setting)}";
    }

    private static string Quantity(string number, NodeSettings.Setting setting)
    {
        var n = long.Parse(number, CultureInfo.InvariantCulture);
        var (size, unit) = setting.Value != "BYTES" ? (1L, "")
            : n >= 1L << 30 && n % (1L << 30) == 0 ? (1L << 30, "GiB")
            : n >= 1L << 20 && n % (1L << 20) == 0 ? (1L << 20, "MiB")
            : n >= 1L << 10 && n % (1L << 10) == 0 ? (1L << 10, "KiB") : (1L, "");
        return (n / size).ToString(CultureInfo.InvariantCulture) + unit;
    }

    private static NodeOptions Read(string[] arguments) => NodeSettings.Read(["--data", "/d", "--insecure", .. arguments], [], "/").ToOptions();
}
