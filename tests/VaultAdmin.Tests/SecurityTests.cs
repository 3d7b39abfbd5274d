using System.Runtime.Versioning;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

/// <summary>What docs/OPERATIONS.md says of security, as an operator would do it.</summary>
[SupportedOSPlatform("linux")]
public sealed class SecurityTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("vault-admin-security-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task From_nothing_to_a_user_with_a_role_of_its_own()
    {
        (await AdminProcess.RunAsync("certificates", _folder, "--node", "localhost,127.0.0.1", "--for-user", "admin", "--json")).MustBe(0);
        (await AdminProcess.RunAsync("users", "init", In("admin.password"), "--json")).MustBe(0);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(In("admin.password")));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(In("authority.key")));
        (await AdminProcess.RunAsync("users", "init", In("admin.password"), "--json")).MustBe(1); // Never written over.
        await using var node = await TestNode.NewAskingAsync(
            "--admin-password-file", In("admin.password"), "--tls-cert", In("localhost.pem"), "--tls-key", In("localhost.key"), "--tls-client-ca", In("authority.pem"));
        string[] trust = ["--authority", In("authority.pem")];
        string[] admin = [.. trust, "--user", "admin", "--password-file", In("admin.password")];

        // In clear text it seems to talk nonsense.
        var port = new Uri(node.Endpoint).Port;
        Assert.Contains("its address begins with https", (await AdminProcess.RunAsync("status", "--endpoint", $"http://localhost:{port}", "--json")).MustBe(5).ErrorMessage, StringComparison.Ordinal);
        Assert.Contains("https://", (await AdminProcess.RunAsync("health", "--http", node.HttpEndpoint.Replace("https", "http", StringComparison.Ordinal), "--json")).MustBe(5).ErrorMessage, StringComparison.Ordinal);

        // Nobody, nobody known, and an administrator by either way.
        Assert.Equal("NOT_AUTHENTICATED", (await node.RunAsync(["status", .. trust])).MustBe(1).ErrorCode);
        Assert.Equal(5, (await node.RunAsync("status")).ExitCode); // The system trusts no such authority.
        Assert.Equal("admin", (await node.RunAsync(["whoami", .. admin])).MustBe(0).Json.GetProperty("name").GetString());
        string[] certificate = [.. trust, "--client-cert", In("admin.pem"), "--client-key", In("admin.key")];
        Assert.Equal("admin", (await node.RunAsync(["whoami", .. certificate])).MustBe(0).Json.GetProperty("name").GetString());

        // As the image's health check: it is told where by variables alone, and needs no credentials.
        var probe = new Dictionary<string, string> { ["EVENTVAULT_HTTP"] = node.HttpEndpoint, ["EVENTVAULT_AUTHORITY"] = In("authority.pem") };
        (await AdminProcess.RunWithAsync(probe, "health", "--live", "--json")).MustBe(0);

        // A role and a user.
        await File.WriteAllTextAsync(In("alice.password"), "alices-password\n");
        (await node.RunAsync(["roles", "set", "clerk", "--allow", "append:order", "--allow", "read:order", .. admin])).MustBe(0);
        var alice = (await node.RunAsync(["users", "set", "alice", "--role", "clerk", "--role", "clark", "--new-password-file", In("alice.password"), .. admin])).MustBe(0);
        Assert.Contains("There is no role 'clark'", alice.Stderr, StringComparison.Ordinal);
        Assert.DoesNotContain("There is no role 'clerk'", alice.Stderr, StringComparison.Ordinal);
        alice = (await node.RunAsync(["users", "set", "alice", "--role", "clerk", .. admin])).MustBe(0);
        Assert.DoesNotContain("There is no role", alice.Stderr, StringComparison.Ordinal);
        var variables = new Dictionary<string, string>
        {
            ["EVENTVAULT_ENDPOINT"] = node.Endpoint,
            ["EVENTVAULT_AUTHORITY"] = In("authority.pem"),
            ["EVENTVAULT_USER"] = "alice",
            ["EVENTVAULT_PASSWORD"] = "alices-password",
        };
        (await AdminProcess.RunWithAsync(variables, "append", "order-1", "--type", "T", "--data", "{}", "--json")).MustBe(0);
        (await AdminProcess.RunWithAsync(variables, "read", "order-1", "--json")).MustBe(0);
        var refused = (await AdminProcess.RunWithAsync(variables, "append", "invoice-1", "--type", "T", "--data", "{}", "--json")).MustBe(1);
        Assert.Equal(("NOT_ALLOWED", "append:invoice"), (refused.ErrorCode, refused.Json.GetProperty("error").GetProperty("why").GetString()));
        Assert.DoesNotContain("alices-password", refused.Stdout + refused.Stderr, StringComparison.Ordinal);
        Assert.Equal("NOT_ALLOWED", (await AdminProcess.RunWithAsync(variables, "users", "ls", "--json")).MustBe(1).ErrorCode);

        // A password of its own, and then none of it.
        await File.WriteAllTextAsync(In("alice.new"), "another-password");
        (await AdminProcess.RunWithAsync(
            variables, "users", "password", "--old-password-file", In("alice.password"), "--new-password-file", In("alice.new"), "--json")).MustBe(0);
        Assert.Equal("NOT_AUTHENTICATED", (await AdminProcess.RunWithAsync(variables, "whoami", "--json")).MustBe(1).ErrorCode);
        variables["EVENTVAULT_PASSWORD"] = "another-password";
        Assert.Equal("clerk", (await AdminProcess.RunWithAsync(variables, "whoami", "--json")).MustBe(0).Json.GetProperty("roles")[0].GetString());
        Assert.Single((await node.RunAsync(["users", "ls", .. admin])).MustBe(0).Lines);
        Assert.Equal(6, (await node.RunAsync(["roles", "ls", .. admin])).MustBe(0).Lines.Count);

        // Bytes that are no text would all be the same character, and another password as good as the right one.
        await File.WriteAllBytesAsync(In("no.text"), [.. Enumerable.Range(0x80, 16).Select(i => (byte)i)]);
        Assert.Equal("USAGE", (await node.RunAsync(["users", "set", "bob", "--new-password-file", In("no.text"), .. admin])).MustBe(2).ErrorCode);
        (await AdminProcess.RunAsync("whoami", "--endpoint", node.Endpoint, "--user", "alice", "--password-file", In("no.text"), "--json")).MustBe(1);

        // Who gives away the right to look at roles has done it.
        (await node.RunAsync(["users", "set", "alice", "--role", "admin", .. admin])).MustBe(0);
        (await AdminProcess.RunWithAsync(variables, "users", "set", "alice", "--role", "clerk", "--json")).MustBe(0);
        Assert.Equal("NOT_ALLOWED", (await AdminProcess.RunWithAsync(variables, "roles", "ls", "--json")).MustBe(1).ErrorCode);

        // Nor does that take any right.
        (await node.RunAsync(["users", "set", "alice", "--no-roles", .. admin])).MustBe(0);
        await File.WriteAllTextAsync(In("alice.password"), "another-password");
        (await AdminProcess.RunWithAsync(
            variables, "users", "password", "--old-password-file", In("alice.password"), "--new-password-file", In("admin.password"), "--json")).MustBe(0);
        variables["EVENTVAULT_PASSWORD"] = (await File.ReadAllTextAsync(In("admin.password"))).TrimEnd();
        Assert.Empty((await AdminProcess.RunWithAsync(variables, "whoami", "--json")).MustBe(0).Json.GetProperty("roles").EnumerateArray());
        Assert.Contains("There was no user 'alcie', so nothing was changed. Those that there are: alice.", (await node.RunAsync(["users", "remove", "alcie", .. admin])).MustBe(0).Stderr, StringComparison.Ordinal);
        Assert.Contains("There was no role 'clark'", (await node.RunAsync(["roles", "remove", "clark", .. admin])).MustBe(0).Stderr, StringComparison.Ordinal);
        Assert.DoesNotContain("There was no", (await node.RunAsync(["users", "remove", "alice", .. admin])).MustBe(0).Stderr, StringComparison.Ordinal);
        Assert.Equal("NOT_AUTHENTICATED", (await AdminProcess.RunWithAsync(variables, "whoami", "--json")).MustBe(1).ErrorCode);
        Assert.Equal(9, (await node.RunAsync(["read", "$audit", .. admin])).MustBe(0).Lines.Count);
    }

    [Fact]
    public async Task Nodes_that_show_each_other_certificates_become_one_vault_whose_users_count_on_all()
    {
        (await AdminProcess.RunAsync("certificates", _folder, "--node", "localhost,127.0.0.1", "--json")).MustBe(0);
        (await AdminProcess.RunAsync("users", "init", In("admin.password"), "--json")).MustBe(0);
        string[] settings =
        [
            "--join", "--peer-port", "0", "--peer-tls-cert", In("localhost.pem"), "--peer-tls-key", In("localhost.key"), "--peer-tls-ca", In("authority.pem"),
            "--admin-password-file", In("admin.password"), "--tls-cert", In("localhost.pem"), "--tls-key", In("localhost.key"),
        ];
        await using var one = await TestNode.NewAskingAsync(settings);
        await using var two = await TestNode.NewAskingAsync(settings);
        var addresses = string.Join(',', new[] { one, two }.Select(n => new Uri(n.Endpoint).Authority));
        string[] trust = ["--authority", In("authority.pem")];
        string[] admin = [.. trust, "--user", "admin", "--password-file", In("admin.password")];

        Assert.Equal("NOT_AUTHENTICATED", (await one.RunAsync(["cluster", "init", "--nodes", addresses, .. trust])).MustBe(1).ErrorCode);
        var made = (await one.RunAsync(["cluster", "init", "--nodes", addresses, .. admin])).MustBe(0).Json;
        Assert.Equal(2, made.GetProperty("nodes").GetArrayLength());

        await File.WriteAllTextAsync(In("alice.password"), "alices-password");
        (await two.RunAsync(["users", "set", "alice", "--role", "reader", "--new-password-file", In("alice.password"), .. admin])).MustBe(0);
        string[] alice = [.. trust, "--user", "alice", "--password-file", In("alice.password"), "--json"];

        // A node may not have got it yet: then it is asked of the other one.
        foreach (var node in new[] { one, two })
        {
            var other = node == one ? two : one;
            (await AdminProcess.RunAsync(["whoami", "--endpoint", $"{node.Endpoint},{new Uri(other.Endpoint).Authority}", .. alice])).MustBe(0);
        }
    }

    private string In(string name) => Path.Combine(_folder, name);
}
