// The rules of the house, held against the repository as it stands. Each test lists every place that breaks its rule.
// That each rule can fail is shown in RuleTests.
using EventVault.Tidy.Rules;
using Xunit.Abstractions;

namespace EventVault.Tidy;

public class RepositoryTests(ITestOutputHelper output)
{
    /// <summary>The rules and their tests quote what they look for.</summary>
    private const string Ourselves = "tests/EventVault.Tidy/";

    private static SourceTree Tree => SourceTree.Repository;

    [Fact]
    public void Projects_know_only_what_the_graph_allows() =>
        AssertNone(Tree.Files.Where(f => f.Is(".csproj")).SelectMany(ProjectReferences.Check));

    [Fact]
    public void The_solution_holds_every_project() =>
        AssertNone(ProjectReferences.CheckSolution(Tree.Files.Where(f => f.Is(".csproj")), Tree.File("EventVault.sln")));

    [Fact]
    public void Unsafe_code_stands_in_one_folder() => AssertNone(Tree.Files.SelectMany(UnsafeCode.Check));

    [Fact]
    public void Forbidden_words_appear_nowhere_outside_the_glossary()
    {
        var rule = new ForbiddenWords(Tree.File(ForbiddenWords.Glossary));
        AssertNone(Tree.Files.Where(ForbiddenWords.Covers).SelectMany(rule.Check));
    }

    [Fact]
    public void File_names_say_what_is_in_them() => AssertNone(Tree.Files.SelectMany(FileNames.Check));

    [Fact]
    public void No_file_is_too_long() => AssertNone(Tree.CSharp("src/", "tools/", "tests/", "perf/").SelectMany(FileSizes.Check));

    [Fact]
    public void Every_method_fits_a_screen() => AssertNone(Tree.CSharp("src/", "tools/").SelectMany(MethodSizes.Check));

    [Fact]
    public void Most_files_are_short()
    {
        var files = Tree.CSharp("src/").ToList();
        var (median, ninth) = FileSizes.Measure(files);
        output.WriteLine($"{files.Count} files in src: median {median} lines, ninth decile {ninth}.");
        AssertNone(FileSizes.CheckAll(files));
    }

    [Fact]
    public void Links_in_documents_lead_somewhere() =>
        AssertNone(Documents().SelectMany(f => DocLinks.CheckLinks(f, Tree.Paths, path => Tree.Files.FirstOrDefault(d => d.Path == path && d.Is(".md")))));

    [Fact]
    public void Paths_in_documents_and_documents_in_comments_exist() =>
        AssertNone(Tree.Files
            .Where(f => f.Is(".md") || f.Is(".cs") || f.Is(".proto") || f.Is(".csproj") || f.Is(".props"))
            .Where(f => !f.IsUnder(Ourselves))
            .SelectMany(f => DocLinks.CheckMentions(f, Tree.Paths)));

    [Fact]
    public void Tests_that_are_named_as_proofs_are_there()
    {
        var tests = Tree.CSharp("tests").ToList();
        AssertNone(Documents().SelectMany(f => NamedTests.Check(f, tests)));
    }

    [Fact]
    public void Every_decision_is_whole_and_linked()
    {
        var records = Tree.Files.Where(f => f.IsUnder(Decisions.Folder) && f.Is(".md") && f.Name != "README.md").ToList();
        Assert.NotEmpty(records);
        AssertNone(Decisions.Check(records, [Tree.File("docs/ARCHITECTURE.md"), Tree.File(Decisions.Folder + "README.md")]));
    }

    [Fact]
    public void No_product_code_trusts_the_flushes_of_the_base_class_library() =>
        AssertNone(Tree.CSharp("src/", "tools/").SelectMany(Durability.Check));

    [Fact]
    public void No_library_blocks_on_a_task() => AssertNone(Tree.CSharp("src/", "tools/").SelectMany(Blocking.Check));

    [Fact]
    public void Every_limit_says_why() => AssertNone(Tree.CSharp("src/", "tools/").SelectMany(Limits.Check));

    [Fact]
    public void Every_lock_has_its_place_in_the_order()
    {
        var threading = Tree.File("docs/THREADING.md");
        AssertNone(Tree.CSharp("src/").SelectMany(f => Locks.Check(f, threading)));
    }

    [Fact]
    public void What_users_rely_on_is_written_down()
    {
        var operations = Tree.File("docs/OPERATIONS.md");
        AssertNone(
        [
            .. Contracts.CheckErrors(Tree.File("proto/eventvault/v1/errors.proto"), Tree.File("docs/PROTOCOL.md")),
            .. Contracts.CheckErrors(Tree.File("proto/eventvault/v1/errors.proto"), Tree.File("docs/ERRORS.md")),
            .. Contracts.CheckErrorReference(
                Tree.File("proto/eventvault/v1/errors.proto"), Tree.File("src/EventVault.Client/Errors/VaultErrorCode.cs"), Tree.File("docs/ERRORS.md")),
            .. Contracts.CheckSettings(Tree.File("src/EventVault.Node/NodeSettings.cs"), operations),
            .. Contracts.CheckLimits(Tree.File("src/EventVault.Node/NodeLimits.cs"), Tree.File("docs/PROTOCOL.md")),
            .. Contracts.CheckExitCodes(Tree.File("src/EventVault.Node/ExitCode.cs"), operations, column: 1),
            .. Contracts.CheckExitCodes(Tree.File("tools/vault-admin/ExitCode.cs"), operations, column: 2),
        ]);
    }

    [Fact]
    public void Storage_checks_itself() => AssertNone(Invariants.Check("src/EventVault.Storage", [.. Tree.CSharp("src/EventVault.Storage/")]));

    [Fact]
    public void Consensus_checks_itself() => AssertNone(Invariants.Check("src/EventVault.Raft", [.. Tree.CSharp("src/EventVault.Raft/")]));

    [Fact]
    public void Nothing_points_out_of_the_repository() =>
        AssertNone(Tree.Files.Where(f => !f.IsUnder(Ourselves)).SelectMany(Portability.Check));

    [Fact]
    public void Nothing_is_left_unfinished() =>
        AssertNone(Tree.Files.Where(f => !f.IsUnder(Ourselves)).SelectMany(Unfinished.Check));

    [Fact]
    public void The_readme_starts_with_the_two_commands_and_is_short() => AssertNone(Readme.Check(Tree.File("README.md")));

    [Fact]
    public void Every_code_block_is_run_or_says_why_not() =>
        AssertNone(Documents().SelectMany(f => CodeBlocks.Check(f, [.. Tree.CSharp("tests")])));

    private static IEnumerable<SourceFile> Documents() => Tree.Files.Where(f => f.Is(".md"));

    private static void AssertNone(IEnumerable<Violation> violations)
    {
        var found = violations.Select(v => v.ToString()).ToList();
        Assert.True(found.Count == 0, $"{found.Count} to mend:\n{string.Join('\n', found)}");
    }
}
