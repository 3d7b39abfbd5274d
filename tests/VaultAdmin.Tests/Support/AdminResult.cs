using System.Text.Json;

namespace EventVault.Admin.Tests.Support;

/// <summary>What a run of vault-admin ended with.</summary>
public sealed record AdminResult(int ExitCode, string Stdout, string Stderr)
{
    /// <summary>Every line of stdout as JSON; fails if one is anything else.</summary>
    public IReadOnlyList<JsonElement> Lines => [.. Stdout.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonDocument.Parse(l).RootElement)];

    /// <summary>The only line.</summary>
    public JsonElement Json => Assert.Single(Lines);

    public string ErrorCode => Json.GetProperty("error").GetProperty("code").GetString()!;

    public string ErrorMessage => Json.GetProperty("error").GetProperty("message").GetString()!;

    public AdminResult MustBe(int exitCode)
    {
        Assert.True(exitCode == ExitCode, $"Exit code {ExitCode}, expected {exitCode}.\nstdout: {Stdout}\nstderr: {Stderr}");
        return this;
    }
}
