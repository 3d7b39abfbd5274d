using System.Text;
using EventVault.Rpc;

namespace EventVault.Client;

/// <summary>
/// How a client shows who it is: <see cref="VaultClientOptions.Credentials"/>. Asked anew for each call, so credentials can be renewed while the client
/// runs. A client certificate is part of <see cref="VaultClientOptions.Tls"/> (<see cref="VaultTls"/>). Thread-safe.
/// </summary>
public sealed class VaultCredentials
{
    // Files are looked at again as often: renewed ones count a second later.
    private const long ReadEveryMs = 1_000;

    private readonly Func<CancellationToken, ValueTask<string>> _header;

    private VaultCredentials(Func<CancellationToken, ValueTask<string>> header) => _header = header;

    /// <summary>A user and its password.</summary>
    /// <param name="user">Name of the user.</param>
    /// <param name="password">Its password.</param>
    public static VaultCredentials Password(string user, string password)
    {
        ArgumentException.ThrowIfNullOrEmpty(user);
        ArgumentNullException.ThrowIfNull(password);
        string header = Basic(user, password);
        return new VaultCredentials(_ => ValueTask.FromResult(header));
    }

    /// <summary>A user, and a file with its password, without the line end. It is read again when it has changed.</summary>
    /// <param name="user">Name of the user.</param>
    /// <param name="path">The file.</param>
    public static VaultCredentials PasswordFile(string user, string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(user);
        return OfFile(path, password => Basic(user, password));
    }

    /// <summary>A bearer token.</summary>
    /// <param name="token">The token.</param>
    public static VaultCredentials Token(string token)
    {
        ArgumentException.ThrowIfNullOrEmpty(token);
        return new VaultCredentials(_ => ValueTask.FromResult("Bearer " + token));
    }

    /// <summary>Bearer tokens that are renewed.</summary>
    /// <param name="provider">
    /// Gives a token that counts for a while yet. Called before each call, by several threads at once, so it keeps what it has got; may not return empty. Its
    /// argument is cancelled when the call ends before, by its time-out too; a call does not wait for one that goes on then.
    /// </param>
    public static VaultCredentials Token(Func<CancellationToken, ValueTask<string>> provider)
    {
        ArgumentNullException.ThrowIfNull(provider);
        return new VaultCredentials(async cancellation => "Bearer " + await provider(cancellation).ConfigureAwait(false));
    }

    /// <summary>A file with a bearer token, without the line end. It is read again when it has changed.</summary>
    /// <param name="path">The file.</param>
    public static VaultCredentials TokenFile(string path) => OfFile(path, static token => "Bearer " + token);

    /// <summary>What they put into the header <c>authorization</c>: for the pages that a node serves over HTTP.</summary>
    /// <param name="cancellation">Ends the provider's work.</param>
    /// <returns>The header's value.</returns>
    /// <exception cref="IOException">The file can't be read. A provider's own exceptions come through as well.</exception>
    public ValueTask<string> AuthorizationAsync(CancellationToken cancellation = default) => _header(cancellation);

    /// <summary>Adds them to a call.</summary>
    /// <param name="headers">The call's headers.</param>
    /// <param name="cancellation">Cancelled when the call ends before.</param>
    /// <exception cref="OperationCanceledException">It has ended.</exception>
    /// <exception cref="RpcException">UNAUTHENTICATED: the provider failed, the file can't be read, or no header can hold a token, as it has a line break. Nothing was sent.</exception>
    internal async ValueTask AddToAsync(RpcMetadata headers, CancellationToken cancellation)
    {
        try
        {
            headers.Add("authorization", await _header(cancellation).ConfigureAwait(false));
        }
        catch (Exception e) when (e is not OutOfMemoryException && !(e is OperationCanceledException && cancellation.IsCancellationRequested))
        {
            // Code of the user's.
            throw new RpcException(RpcCode.Unauthenticated, $"The client's credentials can't be used: {e.Message}", inner: e) { NotProcessed = true };
        }
    }

    private static string Basic(string user, string password) => "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{password}"));

    private static VaultCredentials OfFile(string path, Func<string, string> header)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Tuple<string, long>? known = null;
        return new VaultCredentials(_ =>
        {
            // Two threads may read it at once, and find the same.
            Tuple<string, long>? last = Volatile.Read(ref known);
            if (last is null || Environment.TickCount64 - last.Item2 >= ReadEveryMs)
            {
                last = Tuple.Create(header(ReadSecret(path)), Environment.TickCount64);
                Volatile.Write(ref known, last);
            }

            return ValueTask.FromResult(last.Item1);
        });
    }

    // Strictly, or all bytes that are no UTF-8 would be the same character, and another secret as good as the right one.
    private static string ReadSecret(string path)
    {
        try
        {
            return File.ReadAllText(path, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true)).TrimEnd('\r', '\n');
        }
        catch (DecoderFallbackException e)
        {
            throw new InvalidDataException($"'{path}' is not UTF-8.", e);
        }
    }
}
