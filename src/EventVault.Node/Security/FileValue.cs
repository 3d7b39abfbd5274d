using System.Security.Cryptography;

namespace EventVault.Node.Security;

/// <summary>
/// What some files say, read again when they have changed: whoever uses it looks at them, once a second at the most. No watcher of the
/// file system: files that secrets are mounted from are links that are swapped, which it would miss. Safe for concurrent use.
/// </summary>
/// <typeparam name="T">What is made of them; another object each time.</typeparam>
internal sealed class FileValue<T>
    where T : class
{
    /// <summary>Often enough for whoever changes a file and looks, and nothing beside what it is used for.</summary>
    private const long LookEveryMs = 1_000;

    private readonly string[] _files;
    private readonly Func<T> _load;
    private readonly Action<Exception> _onBad;
    private volatile T _value;
    private byte[] _digest;
    private long _lookedAt = Environment.TickCount64;
    private int _looking;

    /// <param name="files">All files that <paramref name="load"/> reads.</param>
    /// <param name="load">Makes the value of them; throws if they can't be used.</param>
    /// <param name="onBad">Told when files have changed and can't be used: the old value stays, and they are tried again at the next look.</param>
    /// <exception cref="Exception">What <paramref name="load"/> throws.</exception>
    public FileValue(IEnumerable<string> files, Func<T> load, Action<Exception> onBad)
    {
        (_files, _load, _onBad) = ([.. files], load, onBad);
        _digest = Digest();
        _value = load();
    }

    /// <summary>What they say now, or said a second ago.</summary>
    public T Current
    {
        get
        {
            if (Environment.TickCount64 - Volatile.Read(ref _lookedAt) >= LookEveryMs && Interlocked.Exchange(ref _looking, 1) == 0)
            {
                try
                {
                    Look();
                }
                finally
                {
                    Volatile.Write(ref _lookedAt, Environment.TickCount64);
                    Volatile.Write(ref _looking, 0);
                }
            }

            return _value;
        }
    }

    private void Look()
    {
        try
        {
            // By content: a time may be the same for two changes, and is that of the link where the file is one.
            var digest = Digest();
            if (!digest.AsSpan().SequenceEqual(_digest))
            {
                _value = _load();
                _digest = digest;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException or FormatException)
        {
            // Two files that belong together can't be changed at once.
            _onBad(e);
        }
    }

    private byte[] Digest()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var file in _files)
        {
            hash.AppendData(SHA256.HashData(File.ReadAllBytes(file)));
        }

        return hash.GetHashAndReset();
    }
}
