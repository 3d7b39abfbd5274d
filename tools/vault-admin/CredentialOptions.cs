using System.CommandLine;
using System.Net.Security;
using System.Security.Cryptography;
using EventVault.Client;

namespace EventVault.Admin;

/// <summary>How a command shows who it is.</summary>
/// <param name="User">Name and password, or a token; null: none was given, or it stands in the address.</param>
/// <param name="Tls">Whom it trusts, and what it shows; null: nothing was given.</param>
internal sealed record ConnectionCredentials(VaultCredentials? User, SslClientAuthenticationOptions? Tls);

/// <summary>
/// The options that say who calls. Secrets come from files or the environment: what stands in a command line, every user of the machine can read.
/// </summary>
internal sealed class CredentialOptions
{
    private const string Prefix = "EVENTVAULT_";

    private readonly Option<string?> _user = Text("--user", "name", $"Name of the user. Also {Prefix}USER; its password comes from --password-file, {Prefix}PASSWORD_FILE or {Prefix}PASSWORD.");
    private readonly Option<string?> _passwordFile = Text("--password-file", "file", "File with the user's password.");
    private readonly Option<string?> _tokenFile = Text("--token-file", "file", $"File with a bearer token. Also {Prefix}TOKEN_FILE, or the token itself in {Prefix}TOKEN.");
    private readonly Option<string?> _authority = Text("--authority", "file", $"PEM certificates that the nodes' ones must be signed by; without, those that the system trusts. Also {Prefix}AUTHORITY.");
    private readonly Option<string?> _certificate = Text("--client-cert", "file", $"PEM certificate to show, whose common name is the user. Also {Prefix}CLIENT_CERT.");
    private readonly Option<string?> _key = Text("--client-key", "file", $"PEM key of that certificate. Also {Prefix}CLIENT_KEY.");

    public void AddTo(Command root)
    {
        foreach (var option in new[] { _user, _passwordFile, _tokenFile, _authority, _certificate, _key })
        {
            root.Options.Add(option);
        }
    }

    /// <summary>An address without the user that may stand in it, for messages.</summary>
    public static string WithoutUser(string endpoint) =>
        endpoint.IndexOf("://", StringComparison.Ordinal) is >= 0 and var scheme && endpoint.LastIndexOf('@') is >= 0 and var at && at > scheme
            ? endpoint[..(scheme + 3)] + endpoint[(at + 1)..]
            : endpoint;

    /// <summary>What was given.</summary>
    /// <exception cref="UsageException">Things that don't go together, or files that can't be used.</exception>
    public ConnectionCredentials Of(ParseResult parse)
    {
        var (user, passwordFile) = (Given(parse, _user, "USER"), Given(parse, _passwordFile, "PASSWORD_FILE"));
        var (password, token, tokenFile) = (Variable("PASSWORD"), Variable("TOKEN"), Given(parse, _tokenFile, "TOKEN_FILE"));
        if (parse.GetValue(_passwordFile) is not null && user is null)
        {
            throw new UsageException($"{_passwordFile.Name} needs {_user.Name}: whose password is it?");
        }

        // Of the options alone: a variable may name a file that this very command makes.
        RequireFile(parse, _passwordFile);
        RequireFile(parse, _tokenFile);
        var credentials = (user, tokenFile ?? token) switch
        {
            (not null, not null) => throw new UsageException($"Give a user or a token, not both: {_user.Name} or {_tokenFile.Name}, or their variables."),
            (not null, null) => passwordFile is not null ? VaultCredentials.PasswordFile(user, passwordFile)
                : password is not null ? VaultCredentials.Password(user, password)
                : throw new UsageException($"The user {user} needs a password: {_passwordFile.Name}, {Prefix}PASSWORD_FILE or {Prefix}PASSWORD."),
            (null, not null) => tokenFile is not null ? VaultCredentials.TokenFile(tokenFile) : VaultCredentials.Token(token!),
            _ => null,
        };
        var (authority, certificate, key) = (Given(parse, _authority, "AUTHORITY"), Given(parse, _certificate, "CLIENT_CERT"), Given(parse, _key, "CLIENT_KEY"));
        try
        {
            return new ConnectionCredentials(credentials, (authority ?? certificate ?? key) is null ? null : VaultTls.FromFiles(authority, certificate, key));
        }
        catch (Exception e) when (e is ArgumentException or CryptographicException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"The files for TLS can't be used: {e.Message}");
        }
    }

    private static string? Given(ParseResult parse, Option<string?> option, string variable) => parse.GetValue(option) ?? Variable(variable);

    // A pipe may be read once, so nothing is read here.
    private static void RequireFile(ParseResult parse, Option<string?> option)
    {
        if (parse.GetValue(option) is { } path && !File.Exists(path))
        {
            throw new UsageException($"{option.Name}: {(Directory.Exists(path) ? $"'{path}' is a directory" : $"no file '{path}' can be found")}. Name the file.");
        }
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(Prefix + name) is { Length: > 0 } set ? set : null;

    private static Option<string?> Text(string name, string helpName, string description) => new(name) { HelpName = helpName, Description = description, Recursive = true };
}
